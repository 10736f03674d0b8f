"""Purchases foretold in a made shop whose customers buy again at intervals of their own."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from clv_world import snapshot
from product_shop import AS_OF, SHOP, table
from scipy.special import gammainc

from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.classifier import Trained, TrainingSet, train
from lifecycle_assets.models.classifier_evaluation import figures
from lifecycle_assets.models.propensity import scored
from lifecycle_assets.models.propensity_buy import (
    BUY_DAYS,
    PropensityBuy,
    PropensityBuyEvaluation,
    most_customers,
    propensity_buy,
    training_set,
)
from lifecycle_assets.models.propensity_pairs import CATEGORY, Shelf, bought_after, pair_features, shelf
from lifecycle_assets.settings import Scores

N = 1200
YEARS_DAYS = 900
SHAPE = 8.0
INTERVALS = np.array([15.0, 40.0, 90.0])
GOODS = {"tea": "drinks", "soap": "bath", "rice": "food", "new tea": "drinks"}
REGULAR = ["tea", "soap", "rice"]
SETTINGS = Scores(products=tuple(GOODS), candidates=("logistic", "xgboost"), training_rows=1_000_000)
World = tuple[pl.LazyFrame, np.ndarray, TrainingSet, Trained]
DAYS = [AS_OF - dt.timedelta(days=BUY_DAYS * back) for back in range(4, 0, -1)]


def purchases(seed: int = 1) -> tuple[pl.DataFrame, np.ndarray]:
    """customer_id, product_id, order_date: each customer buys each regular product at gamma gaps around an interval of their
    own, and has done so for long; and the intervals, customers x products. A few have tried the new tea."""
    rng = np.random.default_rng(seed)
    interval = rng.choice(INTERVALS, (N, len(REGULAR)))
    n_gaps = int(3 * YEARS_DAYS / INTERVALS.min())
    gaps = rng.gamma(SHAPE, interval[..., None] / SHAPE, (N, len(REGULAR), n_gaps))
    at = np.cumsum(gaps, axis=2) - YEARS_DAYS
    who, what, place = np.nonzero((at >= 0) & (at < YEARS_DAYS))
    rows = pl.DataFrame(
        {
            "customer_id": pl.Series(who).cast(pl.String).str.zfill(5),
            "product_id": pl.Series(REGULAR).gather(what),
            "age": YEARS_DAYS - 1 - np.floor(at[who, what, place]).astype(np.int64),
        }
    ).select("customer_id", "product_id", order_date=pl.lit(AS_OF) - pl.duration(days="age"))
    tried = pl.DataFrame({"customer_id": [f"{i:05d}" for i in range(5)]}).with_columns(
        product_id=pl.lit("new tea"), order_date=pl.lit(AS_OF - dt.timedelta(days=200))
    )
    return pl.concat([rows, tried]), interval


def lines(bought: pl.DataFrame) -> pl.LazyFrame:
    day = pl.col("order_date")
    return table(
        OrderLines,
        bought.select(
            "customer_id",
            "product_id",
            "order_date",
            ordered_at=day.cast(pl.Datetime).dt.replace_time_zone("UTC"),
            line_no=pl.int_range(1, pl.len() + 1),
            order_id=pl.concat_str("customer_id", day),
            quantity=pl.lit(1.0),
            unit_price=pl.lit(5.0),
            discount_amount=pl.lit(0.0),
            amount=pl.lit(5),
            status=pl.lit("completed"),
        ),
    )


def goods() -> pl.LazyFrame:
    return table(
        Products, pl.DataFrame({"product_id": list(GOODS), "name": list(GOODS), "category": list(GOODS.values())})
    )


def learnable(sold: pl.LazyFrame, settings: Scores = SETTINGS) -> TrainingSet:
    shelves = [shelf(sold, goods(), day, settings) for day in DAYS]
    snapshots = [snapshot(sold.collect(), day) for day in DAYS]
    return training_set(snapshots, shelves, sold, settings, np.random.default_rng(0))


@pytest.fixture(scope="module")
def world() -> World:
    bought, interval = purchases()
    sold = lines(bought)
    data = learnable(sold)
    return sold, interval, data, train(data, SETTINGS, np.random.default_rng(0))


def true_chance(rows: pl.DataFrame, interval: np.ndarray) -> np.ndarray:
    """Of a gap that has lasted d days, the chance that it ends within BUY_DAYS: by the process itself."""
    customer = rows["group"].cast(pl.Int64).to_numpy()
    product = rows["target"].replace_strict(REGULAR, range(len(REGULAR)), return_dtype=pl.Int64).to_numpy()
    mean, since = interval[customer, product], rows["days_since_bought"].to_numpy()
    lasted, ends = (gammainc(SHAPE, days * SHAPE / mean) for days in (since, since + BUY_DAYS))
    return (ends - lasted) / np.maximum(1 - lasted, 1e-12)


def ahead(data: TrainingSet) -> pl.DataFrame:
    return data.rows.filter(pl.col("snapshot") == DAYS[-1])


def test_it_orders_almost_as_well_as_one_who_knows_the_process(world: World) -> None:
    _, interval, data, trained = world
    made = trained.evaluation.filter(pl.col("chosen") & (pl.col("split") == "out_of_time"))
    assert made["is_used"].all()
    for product in REGULAR:
        rows = ahead(data).filter(pl.col("target") == product).drop_nulls("days_since_bought")
        label, known = rows["label"].to_numpy(), true_chance(rows, interval)
        best = figures(label, known)
        own = made.filter(pl.col("target") == product).row(0, named=True)
        assert best["roc_auc"] > 0.85, product
        assert own["roc_auc"] > best["roc_auc"] - 0.02, product
        # A few hundred rows in each of ten bins: who knows the process has an error as well.
        assert own["calibration_error"] < best["calibration_error"] + 0.025, product


def test_where_few_buy_the_draw_holds_enough_purchases_and_leaves_the_chances_as_they_are() -> None:
    """One customer in a hundred buys a product every 40 days, the others hardly ever; all buy something else."""
    rng = np.random.default_rng(2)
    n, settings = 5000, SETTINGS.model_copy(update={"products": tuple(REGULAR), "training_rows": 4000})
    everything = settings.model_copy(update={"training_rows": 1_000_000})
    daily = np.where(rng.random((n, len(REGULAR))) < 0.01, 1 / 40, 1 / 30_000)
    who, what, age = np.nonzero(rng.random((n, len(REGULAR), 400)) < daily[..., None])
    names = pl.Series([f"{k:05d}" for k in range(n)])
    bought = pl.DataFrame(
        {
            "customer_id": pl.concat([names.gather(who), names, names]),
            "product_id": pl.concat([pl.Series(REGULAR).gather(what), pl.repeat("other", 2 * n, eager=True)]),
            "age": np.concatenate([age, rng.integers(130, 400, n), rng.integers(0, 400, n)]),
        }
    ).select("customer_id", "product_id", order_date=pl.lit(AS_OF) - pl.duration(days="age"))
    sold = lines(bought.unique(maintain_order=True))
    drawn, every = learnable(sold, settings), learnable(sold, everything)
    assert drawn.rows.height == settings.training_rows
    assert most_customers(settings) >= n
    evenly = ahead(every)["label"].sum() * settings.training_rows / every.rows.height
    assert evenly < settings.min_class < ahead(drawn)["label"].sum() / 2
    assert drawn.rows.equals(learnable(sold.reverse(), settings).rows)
    # Of pairs alike in what the draw goes by, as many buy.
    alike = [pl.col(name) > 0 for name in ("times_bought_90d", "times_bought")]
    rates = every.rows.group_by(alike).agg(rate=pl.col("label").mean())
    seen = drawn.rows.group_by(alike).agg(pl.len(), label=pl.col("label").sum()).join(rates, on=rates.columns[:2])
    error = (seen["len"] * seen["rate"] * (1 - seen["rate"])).sqrt()
    assert seen.height == 3
    assert ((seen["label"] - seen["len"] * seen["rate"]).abs() <= 3 * error + 1).all()


def test_a_cold_product_is_foretold_by_its_category(world: World) -> None:
    sold, _, data, trained = world
    on = shelf(sold, goods(), AS_OF, SETTINGS)
    assert dict(on.products.select("product_id", "thing").rows()) == {name: name for name in REGULAR} | {
        "new tea": "drinks"
    }
    rows = ahead(data)
    new, old = (rows.filter(pl.col("target") == name).sort("group") for name in ("new tea", "tea"))
    assert new["basis"].unique().to_list() == [CATEGORY]
    assert new["label"].equals(old["label"]), "whoever buys drinks buys tea here"
    own = trained.evaluation.filter((pl.col("target") == "new tea") & pl.col("chosen")).row(0, named=True)
    assert own["roc_auc"] > 0.85


def champion(trained: Trained) -> Champion:
    return Champion(trained.model, 3, AS_OF, is_used=trained.is_usable, note=trained.note)


def test_every_customer_has_every_product_in_order(world: World) -> None:
    sold, _, _, trained = world
    tonight, on = snapshot(sold.collect(), AS_OF).customer_orders, shelf(sold, goods(), AS_OF, SETTINGS)
    made = propensity_buy(tonight.lazy(), on, champion(trained), SETTINGS).collect()
    PropensityBuy.require(made)
    assert made.height == tonight.height * len(GOODS)
    assert made.equals(made.sort("customer_id", "product_id"))
    reasons = pl.col("top_factors")
    assert (made.group_by("customer_id").agg(reasons.count())["top_factors"] >= 1).all()
    assert made.filter(pl.col("propensity_tier").is_in(["Very High", "High"]))["top_factors"].null_count() == 0
    assert made.filter(pl.col("probability") < 0.1)["propensity_tier"].unique().to_list() == ["Very Low"]
    assert (
        made.filter(pl.col("product_id") == "new tea")["interpretation"]
        .str.contains("category of new tea, drinks")
        .all()
    )
    mixed = sold.collect().sample(fraction=1.0, shuffle=True, seed=1).lazy()
    again = propensity_buy(
        tonight.lazy().reverse(), shelf(mixed, goods(), AS_OF, SETTINGS), champion(trained), SETTINGS
    )
    assert again.collect().equals(made)


@pytest.mark.parametrize("by_rank", [False, True])
def test_blocks_leave_no_trace(world: World, *, by_rank: bool) -> None:
    sold, _, _, trained = world
    settings = SETTINGS.model_copy(update={"tier_quantiles": by_rank})
    on = shelf(sold, goods(), AS_OF, settings)
    some = snapshot(sold.collect(), AS_OF).customer_orders.sort("customer_id").head(50)
    customers = some.with_columns(pl.col(pl.Decimal).cast(pl.Float64))

    def made(block: int) -> pl.DataFrame:
        def nowhere(chances: np.ndarray) -> np.ndarray:
            return np.zeros(chances.shape, dtype=bool)

        parts = scored(customers, lambda few: pair_features(few, on), champion(trained), settings, {}, nowhere, block)
        return pl.concat(parts).select("customer_id", "product_id", "probability", "propensity_tier", "top_factors")

    assert made(7).equals(made(1000))


def test_tiers_by_rank_are_within_a_product(world: World) -> None:
    sold, _, _, trained = world
    settings = SETTINGS.model_copy(update={"tier_quantiles": True})
    tonight, on = snapshot(sold.collect(), AS_OF).customer_orders, shelf(sold, goods(), AS_OF, settings)
    made = propensity_buy(tonight.lazy(), on, champion(trained), settings).collect()
    least = made.group_by("product_id").agg((pl.col("propensity_tier") == "Very Low").mean())["propensity_tier"]
    assert least.is_between(0.1, 0.3).all(), "about a fifth of each product's customers, but for ties"


def test_nothing_after_the_day_changes_what_is_known_on_it(world: World) -> None:
    sold = world[0].collect()
    day = DAYS[1]
    past = sold.filter(pl.col("order_date") <= day)
    other = sold.filter(pl.col("order_date") > day).with_columns(product_id=pl.lit("soap"), amount=pl.lit(900))
    customers = snapshot(past, day).customer_orders.select("customer_id", "purchase_days")
    settings = Scores(top_products=2)

    def known(lines: pl.DataFrame) -> pl.DataFrame:
        return pair_features(customers, shelf(lines.lazy(), goods(), day, settings))

    expected = known(past)
    assert known(sold).equals(expected)
    assert known(pl.concat([past, other.select(past.columns).cast(past.schema)])).equals(expected)


def test_labels_are_of_the_window_alone() -> None:
    everyone = pl.Series("customer_id", ["a", "b", "c", "d"])
    ages = [(who, 31) for who in everyone] + [("a", 30), ("b", 29), ("c", 0), ("d", -1)]
    rows = [(who, "tea", AS_OF - dt.timedelta(days=age)) for who, age in ages]
    sold = lines(pl.DataFrame(rows, schema=["customer_id", "product_id", "order_date"], orient="row"))
    day = AS_OF - dt.timedelta(days=30)
    on = shelf(sold, goods(), day, Scores(products=("tea",)))
    assert bought_after(sold, on, everyone, BUY_DAYS)["customer_id"].unique(maintain_order=True).to_list() == ["b", "c"]
    assert bought_after(sold, on, everyone, BUY_DAYS - 1)["customer_id"].unique().to_list() == ["b"]


def test_pair_features_by_hand() -> None:
    rows = [("x", "tea", 100), ("x", "tea", 60), ("x", "tea", 40), ("x", "rice", 5), ("y", "rice", 200)]
    rows += [(f"z{i:02d}", "tea", 10) for i in range(20)]
    dated = [(who, what, AS_OF - dt.timedelta(days=age)) for who, what, age in rows]
    sold = lines(pl.DataFrame(dated, schema=["customer_id", "product_id", "order_date"], orient="row"))
    customers = pl.DataFrame({"customer_id": ["x", "y"], "purchase_days": [4, 1]})
    made = pair_features(customers, shelf(sold, goods(), AS_OF, Scores(products=("tea",))))
    x, y = made.rows(named=True)
    assert (x["times_bought"], x["times_bought_90d"], x["days_since_bought"]) == (3, 2, 40)
    assert (x["own_interval_days"], x["due_by_own_interval"], x["share_of_days"]) == (30, 40 / 30, 0.75)
    assert (x["usual_interval_days"], x["buyers_30d"], x["buyers_90d"]) == (30, 20 / 22, 21 / 22)
    assert (y["times_bought"], y["days_since_bought"], y["category_times"]) == (0, None, 0)


def test_too_little_is_said_and_nothing_is_scored() -> None:
    sold = lines(pl.DataFrame({"customer_id": ["x"], "product_id": ["tea"], "order_date": [AS_OF]}))
    few = train(learnable(sold), SETTINGS, np.random.default_rng(0))
    assert few.model is None
    stamped = few.evaluation.with_columns(shop_id=pl.lit(SHOP), as_of=pl.lit(AS_OF), trained_as_of=pl.lit(AS_OF))
    PropensityBuyEvaluation.require(PropensityBuyEvaluation.conform(stamped.lazy()).collect())
    tonight, on = snapshot(sold.collect(), AS_OF).customer_orders.lazy(), shelf(sold, goods(), AS_OF, SETTINGS)
    made = propensity_buy(tonight, on, champion(few), SETTINGS).collect()
    PropensityBuy.require(made)
    assert made["probability"].null_count() == made.height > 0
    assert made["propensity_tier"].unique().to_list() == ["Very Low"]
    assert not made["is_used"].any()
    assert made["note"].str.starts_with("Nothing was learnt").all()


def test_a_shop_without_products_has_no_rows() -> None:
    sold = lines(pl.DataFrame({"customer_id": ["x"], "product_id": ["tea"], "order_date": [AS_OF]}))
    sold = sold.with_columns(product_id=pl.lit(None, pl.String))
    on: Shelf = shelf(
        sold, table(Products, pl.DataFrame({"product_id": []}, schema={"product_id": pl.String})), AS_OF, Scores()
    )
    assert on.products.is_empty()
    nobody = Champion(None, None, None, is_used=False, note="")
    tonight = snapshot(sold.collect(), AS_OF).customer_orders.lazy()
    assert propensity_buy(tonight, on, nobody, Scores()).collect().equals(PropensityBuy.empty())
