"""Lists obey their rules, recover planted tastes, and the compiled selection is the plain one."""

import datetime as dt
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from product_shop import AS_OF, COFFEE, SHOP, no_rfm, order_lines, products, shop, tiers, with_future
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_rows

from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.models import als, als_kernel, rankers, recommendations, topk_kernel
from lifecycle_assets.models.purchases import catalogue, purchases
from lifecycle_assets.models.recommendation_evaluation import RecommendationEvaluation
from lifecycle_assets.models.recommendations import UserRecommendations, user_recommendations
from lifecycle_assets.settings import Recommendations

SETTINGS = Recommendations(factors=8, iterations=10)


def recommended(
    lines: pl.LazyFrame, goods: pl.LazyFrame, way: str = "als", given_settings: Recommendations = SETTINGS
) -> pl.DataFrame:
    chosen = pl.DataFrame({"model": [way], "chosen": [True]}).lazy()
    made = user_recommendations(lines, goods, tiers(lines), chosen, SHOP, AS_OF, given_settings, 0).collect()
    UserRecommendations.require(UserRecommendations.conform(made.lazy()).collect())
    assert made.equals(made.sort("customer_id", "rank"))
    return made


@pytest.fixture(scope="module")
def lists() -> pl.DataFrame:
    return recommended(*shop())


def taste() -> pl.Expr:
    number = pl.col("customer_id").str.slice(1).cast(pl.Int64)
    return (number % 5).replace_strict(dict(enumerate(["garden", "kitchen", "bath", "office", "toys"])))


def test_customers_get_what_their_likes_buy(lists: pl.DataFrame) -> None:
    of_taste = lists.filter(pl.col("source") == "als").select(pl.col("item_id").str.starts_with(taste())).to_series()
    # The first places are the taste's; a list of ten must go on where all of it was bought.
    assert of_taste.mean() > 0.8
    first = lists.filter(pl.col("rank") == 1, pl.col("item_id") != COFFEE)
    assert first.select(pl.col("item_id").str.starts_with(taste())).to_series().mean() > 0.99


def test_bought_is_left_out_unless_due_again(lists: pl.DataFrame) -> None:
    bought = order_lines().select("customer_id", pl.col("product_id").alias("item_id")).unique()
    again = lists.join(bought, on=["customer_id", "item_id"], how="semi")
    assert again["item_id"].unique().to_list() == [COFFEE]
    assert again["source"].unique().to_list() == ["buy_again"]
    assert set(again["customer_id"]) == set(bought.filter(pl.col("item_id") == COFFEE)["customer_id"])


def test_a_product_is_due_when_its_gap_passes_within_the_horizon() -> None:
    """Everyone re-buys after 60 days: with a horizon of 28 days it is due from the 32nd day on."""
    rows = [(f"C{age:04d}", COFFEE, age + extra) for age in range(60) for extra in (0, 60, 120)]
    day = pl.lit(AS_OF) - pl.duration(days="age")
    lines = order_lines(1).head(1).drop("customer_id", "product_id", "order_date").join(
        pl.DataFrame(rows, schema=["customer_id", "product_id", "age"], orient="row").with_columns(order_date=day),
        how="cross",
    )  # fmt: skip
    lines = lines.with_columns(line_no=pl.int_range(1, pl.len() + 1))
    bought = purchases(shop(lines)[0], lines["customer_id"].unique().sort(), pl.Series([COFFEE]), AS_OF, SETTINGS)
    age = (AS_OF - bought.pairs["last_date"]).dt.total_days()
    assert bought.pairs["gap_days"].unique().to_list() == [60]
    assert bought.pairs["is_due"].equals(age >= 32)


def test_returns_are_taken_off_and_the_future_is_not_seen() -> None:
    lines = order_lines(2).head(3).with_columns(
        customer_id=pl.lit("C0000"),
        product_id=pl.Series(["kept", "brought back", "kept"]),
        order_date=pl.Series([AS_OF - dt.timedelta(days=9)] * 3),
    )  # fmt: skip
    back = lines[1:2].with_columns(quantity=pl.lit(-1.0), order_date=pl.lit(AS_OF), line_no=pl.lit(4).cast(pl.Int64))
    later = lines[0:1].with_columns(product_id=pl.lit("tomorrow"), order_date=pl.lit(AS_OF + dt.timedelta(days=1)))
    everything, _ = shop(pl.concat([lines, back, later], how="vertical_relaxed"))
    bought = purchases(everything, pl.Series(["C0000"]), pl.Series([], dtype=pl.String), AS_OF, SETTINGS)
    assert bought.items.to_list() == ["kept"]
    assert bought.pairs["days"].to_list() == [1]


def test_out_of_stock_and_too_many_of_a_category_are_left_out() -> None:
    stock = pl.when(pl.col("product_id").str.ends_with("1")).then(0.0).otherwise(5.0)
    goods = products().with_columns(stock.alias("inventory_level"))
    made = recommended(*shop(goods=goods), given_settings=SETTINGS.model_copy(update={"max_per_category": 2}))
    assert not made["item_id"].str.ends_with("1").any()
    with_category = made.join(goods, left_on="item_id", right_on="product_id")
    assert with_category.group_by("customer_id", "category").len()["len"].max() == 2


def test_no_name_stands_twice_in_a_list() -> None:
    # The colours of a thing bear one name.
    goods = products().with_columns(pl.col("name").str.replace(r"^\w+ ", ""))
    made = recommended(*shop(goods=goods)).join(goods, left_on="item_id", right_on="product_id")
    assert made.select(pl.struct("customer_id", "category", "name").is_unique().all()).item()
    assert made.height > 2000


def test_a_new_product_is_shown_to_those_whose_taste_it_reads_like(lists: pl.DataFrame) -> None:
    new = lists.filter(pl.col("item_id") == "garden-new")
    assert new.height > 0
    assert new.select(taste()).to_series().unique().to_list() == ["garden"]
    assert new["source"].unique().to_list() == ["content"]
    assert new["because_id"].str.starts_with("garden").all()


def test_reasons_name_what_was_bought(lists: pl.DataFrame) -> None:
    bought = order_lines().select("customer_id", pl.col("product_id").alias("because_id")).unique()
    named = lists.drop_nulls("because_id")
    assert named.join(bought, on=["customer_id", "because_id"], how="anti").is_empty()
    assert lists.filter(pl.col("source") == "als")["because_id"].null_count() < 0.05 * lists.height
    names = products().select(pl.col("product_id").alias("because_id"), "name")
    told = named.join(names, on="because_id").filter(pl.col("explanation").str.contains(pl.col("name"), literal=True))
    assert told.height == named.height


def test_little_data_falls_back_to_texts_then_to_the_segment() -> None:
    lines = order_lines(10)
    made = recommended(*shop(lines))
    assert set(made["source"]) <= {"content", "buy_again", "popular"}
    textless = products().with_columns(name=None, category=None)
    popular = recommended(*shop(lines, textless))
    assert set(popular["source"]) <= {"buy_again", "popular"}
    loyal = popular.filter(pl.col("source") == "popular", pl.col("customer_id") == "C0000")
    assert loyal["explanation"].unique().to_list() == ["Popular with Loyal customers."]


def test_nothing_to_go_by_gives_an_empty_table() -> None:
    chosen = RecommendationEvaluation.empty().lazy()
    nothing = OrderLines.empty().lazy(), Products.empty().lazy()
    made = user_recommendations(*nothing, no_rfm(), chosen, SHOP, AS_OF, SETTINGS, 0).collect()
    assert made.equals(UserRecommendations.empty())


def test_a_customer_who_bought_no_known_product_gets_what_is_popular() -> None:
    lines = order_lines(100)
    guest = lines.head(1).with_columns(customer_id=pl.lit("C9998"), product_id=pl.lit(None, pl.String))
    guest = guest.with_columns(line_no=pl.lit(lines.height + 1).cast(pl.Int64))
    made = recommended(*shop(pl.concat([lines, guest]))).filter(pl.col("customer_id") == "C9998")
    assert made.height == SETTINGS.k
    assert made["source"].unique().to_list() == ["popular"]


def test_the_same_whatever_the_order_of_rows_and_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    monkeypatch.setattr(rankers, "BLOCK_SCORES", 2_000)
    made = recommended(*shop())
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        again = recommended(*shop(order_lines().sample(fraction=1, shuffle=True, seed=9)))
    finally:
        numba.set_num_threads(threads)
    assert again.equals(made)


def test_factors_are_fitted_only_for_lists_that_ask_for_them() -> None:
    everything, goods = shop()
    on_sale = catalogue(goods, everything, AS_OF)
    segments = tiers(everything).collect().sort("customer_id")
    bought = purchases(everything, segments["customer_id"], on_sale["product_id"], AS_OF, SETTINGS)
    learnt = rankers.learn(bought, segments["rfm_tier"], on_sale, SETTINGS, np.random.default_rng(1))
    kinds, is_open = rankers.groups(on_sale, bought.items), np.ones(bought.items.len(), bool)
    for way, is_fitted in (("popular", False), ("als", True)):
        lists = rankers.top_lists(learnt, [way, "als"], np.arange(50), 3, kinds, 3, is_open)
        assert (lists.items >= 0).all()
        assert ("als" in vars(learnt)) == is_fitted


def bought_counts() -> csr_matrix:
    everything, goods = shop()
    customers = everything.select(pl.col("customer_id").unique().sort()).collect().to_series()
    bought = purchases(everything, customers, catalogue(goods, everything, AS_OF)["product_id"], AS_OF, SETTINGS)
    return bought.matrix(bought.pairs["days"])


def loss(counts: csr_matrix, customers: np.ndarray, items: np.ndarray) -> float:
    """What alternating least squares makes small: equation 3 of Hu, Koren and Volinsky, over every customer and item."""
    counted = counts.toarray()
    error = (1 + counted) * ((counted > 0) - customers @ items.T) ** 2
    return float(error.sum() + als.REGULARISATION * ((customers**2).sum() + (items**2).sum()))


def test_factors_are_as_good_as_those_of_implicit() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    counts = bought_counts()
    ours = als.fit(counts, 8, 30, 1, np.random.default_rng(5))
    library = AlternatingLeastSquares(factors=8, iterations=30, random_state=5)
    confidence = counts.copy()
    confidence.data += 1
    library.fit(confidence, show_progress=False)
    # Both find a minimum of many; neither is far from the other.
    assert loss(counts, *ours) == pytest.approx(loss(counts, library.user_factors, library.item_factors), rel=0.02)


def test_each_side_comes_to_the_exact_least_squares_solution() -> None:
    rng = np.random.default_rng(4)
    counts = random_rows(70, 40, 0.1, format="csr", dtype=np.float32, random_state=rng)
    counts.data = rng.integers(1, 9, counts.nnz).astype(np.float32)
    fixed, rows = (rng.normal(size=(n, 16)).astype(np.float32) for n in (40, 70))
    ridge = np.eye(16, dtype=np.float32)
    for _ in range(20):
        als_kernel.solve(counts.indptr, counts.indices, counts.data, fixed, fixed.T @ fixed + ridge, rows)
    for row, counted in zip(rows, counts.toarray(), strict=True):
        matrix = fixed.T @ (fixed * (1 + counted)[:, None]) + ridge
        assert row == pytest.approx(np.linalg.solve(matrix, fixed.T @ ((1 + counted) * (counted > 0))), abs=1e-4)


def test_hardly_bought_items_have_no_factors_of_their_own() -> None:
    counts = bought_counts()
    buyers = counts.getnnz(axis=0)
    least = int(np.median(buyers))
    factors = als.fit(counts, 8, 5, least, np.random.default_rng(5))
    assert (factors.items.any(axis=1) == (buyers >= least)).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4))
def test_the_lists_are_those_of_a_plain_greedy_choice(seed: int, k: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    n = 150
    scores = (rng.integers(-3, 12, (2, n)) / 10).astype(np.float32)
    category = rng.integers(-1, 6, n)
    # Most names are of one or two items, all of one category.
    name = np.where(rng.random(n) < 0.2, -1, category * n + rng.integers(0, 20, n) + n)
    is_open = rng.random(n) < 0.9
    closed = [np.flatnonzero(rng.random(n) < 0.1) for _ in range(2)]
    codes, values = np.full((2, k), -1, np.int32), np.zeros((2, k), np.float32)
    codes[1, 0], values[1, 0] = 7, 0.05  # stands there already
    expected = []
    for row in range(2):
        taken = [int(code) for code in codes[row] if code >= 0]
        for item in np.lexsort((np.arange(n), -scores[row])):
            full = category[item] >= 0 and sum(category[t] == category[item] for t in taken) >= most
            repeats = name[item] >= 0 and any(name[t] == name[item] for t in taken)
            allowed = scores[row, item] > 0 and is_open[item] and item not in closed[row] and item not in taken
            if allowed and not full and not repeats and len(taken) < k:
                taken.append(int(item))
        expected.append(taken + [-1] * (k - len(taken)))
    starts = np.cumsum([0, *map(len, closed)])
    topk_kernel.extend_lists(
        scores, np.arange(2), starts, np.concatenate(closed), is_open, name, category, most, codes, values
    )
    assert codes.tolist() == expected


def test_what_comes_later_changes_nothing(lists: pl.DataFrame) -> None:
    lines, goods = shop(with_future(order_lines()))
    chosen = pl.DataFrame({"model": ["als"], "chosen": [True]}).lazy()
    seen = tiers(shop()[0])
    assert user_recommendations(lines, goods, seen, chosen, SHOP, AS_OF, SETTINGS, 0).collect().equals(lists)


@pytest.mark.parametrize(("module", "block"), [(recommendations, "BLOCK_CUSTOMERS"), (rankers, "BLOCK_SCORES")])
def test_blocks_of_customers_make_no_difference(
    lists: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, module: ModuleType, block: str
) -> None:
    monkeypatch.setattr(module, block, 37)
    made = recommended(*shop())
    assert made.drop("score").equals(lists.drop("score"))
    # Products of matrices of other sizes are rounded otherwise in the last place.
    assert (made["score"] - lists["score"]).abs().max() < 2e-6


def test_a_part_of_the_table_is_that_part() -> None:
    lines, goods = shop()
    chosen = pl.DataFrame({"model": ["als"], "chosen": [True]}).lazy()
    made = user_recommendations(lines, goods, tiers(lines), chosen, SHOP, AS_OF, SETTINGS, 0)
    whole = made.collect()
    first = pl.col("rank") == 1
    assert made.filter(first).select("item_id").collect().equals(whole.filter(first).select("item_id"))
    assert made.head(25).collect().equals(whole.head(25))
