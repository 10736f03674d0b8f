"""Pairs in baskets: counted by hand, held against mlxtend, and bounds that cover the truth as often as they say."""

import datetime as dt
from decimal import Decimal
from itertools import permutations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.frequent_patterns import apriori, association_rules

from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.models.cross_sell import CrossSellMatrix, cross_sell_matrix, strongest
from lifecycle_assets.models.cross_sell_kernel import pair_counts
from lifecycle_assets.settings import CrossSell

AS_OF = dt.date(2024, 6, 30)
NO_PRODUCTS = Products.empty().lazy()


def filled(contract: Contract, rows: list[dict]) -> pl.LazyFrame:
    """Rows with some of the contract's columns, the others null."""
    given_columns = pl.DataFrame(rows, infer_schema_length=None)
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in given_columns.columns]
    return contract.conform(given_columns.with_columns(absent).lazy())


def lines(baskets: list[list[str]], orders: str = "o", **more: object) -> pl.LazyFrame:
    """A line per item; every basket is an order of its own."""
    rows = [
        {
            "line_no": number,
            "order_id": f"{orders}{number}",
            "customer_id": f"c{number % 7}",
            "order_date": AS_OF,
            "product_id": item,
            "quantity": 1.0,
            "amount": Decimal(1),
            "status": "completed",
            **more,
        }
        for number, basket in enumerate(baskets)
        for item in basket
    ]
    return filled(OrderLines, rows)


def matrix(order_lines: pl.LazyFrame, products: pl.LazyFrame = NO_PRODUCTS, **more: object) -> pl.DataFrame:
    table = cross_sell_matrix(order_lines, products, "s", AS_OF, CrossSell.model_validate({"min_support": 1, **more}))
    CrossSellMatrix.require(table)
    return table


baskets_of_items = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=50), min_size=1, max_size=30)


@settings(deadline=None)
@given(baskets_of_items, st.integers(1, 4))
def test_counts_are_those_of_counting_one_by_one(baskets: list[list[str]], min_support: int) -> None:
    pairs: dict[tuple[str, str], int] = {}
    for basket in baskets:
        items = set(basket)
        for pair in [*permutations(items, 2), *((item, item) for item in items)]:
            pairs[pair] = pairs.get(pair, 0) + 1
    table = matrix(lines(baskets), min_support=min_support).filter(level="item")
    found = {(i, j): n for i, j, n in table.select("item_i", "item_j", "support_ij").rows()}
    assert found == {pair: n for pair, n in pairs.items() if n >= min_support}
    assert table["support_i"].is_sorted(descending=True)


@settings(deadline=None)
@given(baskets_of_items, st.randoms())
def test_the_order_of_the_lines_does_not_matter(baskets: list[list[str]], rng) -> None:
    frame = lines(baskets).collect()
    places = list(range(frame.height))
    rng.shuffle(places)
    assert matrix(frame.lazy()).equals(matrix(frame[places].lazy()))


def test_confidence_and_lift_are_mlxtends() -> None:
    rng = np.random.default_rng(5)
    held = rng.random((400, 12)) < np.linspace(0.05, 0.5, 12)
    held[:, 1] |= held[:, 0]
    held = held[held.any(axis=1)]
    names = np.array([f"p{i:02d}" for i in range(12)])
    rules = association_rules(
        apriori(pd.DataFrame(held, columns=names), min_support=10 / len(held), use_colnames=True, max_len=2),
        metric="confidence",
        min_threshold=0,
    )
    expected = {(min(row.antecedents), min(row.consequents)): (row.confidence, row.lift) for row in rules.itertuples()}
    table = matrix(lines([names[row].tolist() for row in held]), min_support=10).filter(
        pl.col("item_i") != pl.col("item_j")
    )
    found = {(i, j): values for i, j, *values in table.select("item_i", "item_j", "confidence", "lift").rows()}
    assert len(found) > 50
    assert found.keys() == expected.keys()
    for pair, values in found.items():
        assert values == pytest.approx(expected[pair], rel=1e-12)


@pytest.mark.parametrize(("share_i", "share_j", "lift"), [(0.05, 0.1, 1.0), (0.2, 0.3, 1.2), (0.02, 0.02, 25.0)])
def test_the_interval_of_the_lift_covers_the_truth(share_i: float, share_j: float, lift: float) -> None:
    n, shops = 2000, 400
    both = share_i * share_j * lift
    rng = np.random.default_rng(7)
    cells = rng.multinomial(n, [both, share_i - both, share_j - both, 1 - share_i - share_j + both], size=shops)
    covered, flagged = 0, 0
    for both_n, only_i, only_j, neither in cells.tolist():
        baskets = [["i", "j"]] * both_n + [["i"]] * only_i + [["j"]] * only_j + [["other"]] * neither
        row = matrix(lines(baskets)).row(by_predicate=(pl.col("item_i") == "i") & (pl.col("item_j") == "j"), named=True)
        covered += row["lift_lo"] <= lift <= row["lift_hi"]
        flagged += row["significant"]
    # 95 of 100, within three standard errors of what 400 shops can tell.
    assert 0.915 <= covered / shops <= 0.985
    if lift == 1:
        assert flagged / shops <= 0.06
    if lift > 10:
        assert flagged == shops


def test_baskets_of_customers_windows_and_both_directions() -> None:
    old = lines([["a", "b"]] * 3, "old", order_date=AS_OF - dt.timedelta(days=40))
    new = lines([["a"], ["a", "c"], ["c"]])
    orders = pl.concat([old, new])
    pair = (pl.col("item_i") == "a") & (pl.col("item_j") == "c")
    assert matrix(orders).filter(pair)["confidence"].item() == pytest.approx(1 / 5)
    assert matrix(orders, window_days=30).filter(pair)["confidence"].item() == pytest.approx(1 / 2)
    assert matrix(orders, symmetric=True).filter(pair)["confidence"].item() == pytest.approx((1 / 5 + 1 / 2) / 2)
    # Customers c0, c1, c2 have bought a; c1 and c2 have bought c.
    by_customer = matrix(orders, basket="customer").filter(pair)
    assert by_customer.select("support_i", "support_j", "support_ij").row(0) == (3, 2, 2)


def test_what_is_no_sale_is_in_no_basket_and_guests_are() -> None:
    sold = lines([["a", "b"]] * 2, customer_id=None)
    returned = lines([["a", "z"]], quantity=-1.0)
    later = lines([["a", "z"]], order_date=AS_OF + dt.timedelta(days=1))
    cancelled = lines([["a", "z"]], status="cancelled")
    table = matrix(pl.concat([sold, returned, later, cancelled]))
    # Two guests' orders are two baskets, having different ids.
    assert table["support_i"].unique().to_list() == [2]
    assert set(table["item_i"]) == {"a", "b"}
    assert matrix(sold, basket="customer").is_empty()


def test_the_category_is_the_lines_else_the_products() -> None:
    products = filled(Products, [{"product_id": "a", "category": "fruit"}, {"product_id": "b", "category": "bread"}])
    orders = pl.concat([lines([["a", "b"]] * 4), lines([["b"]], category="cake")])
    categories = matrix(orders, products).filter(level="category")
    assert set(categories["item_i"]) == {"bread", "cake", "fruit"}
    assert categories.filter(item_i="bread", item_j="fruit")["confidence"].item() == 1
    assert categories.filter(item_i="bread", item_j="bread").select("confidence", "significant").row(0) == (1.0, False)


def test_nothing_sold_is_no_pair() -> None:
    assert matrix(OrderLines.empty().lazy()).is_empty()


def test_a_large_catalogue_needs_no_square_of_it() -> None:
    # A dense table of counts would take 640 GB.
    n_items = 400_000
    items = np.arange(n_items, dtype=np.int32)
    baskets = items // 4
    n, support, pairs = pair_counts(np.tile(baskets, 2), np.tile(items, 2), n_items, 1)
    assert n == n_items // 4
    assert (support == 1).all()
    assert pairs.shape == (3, n_items // 4 * 6)


def test_the_strongest_pairs_are_told_once() -> None:
    rng = np.random.default_rng(1)
    baskets = [
        [name for name in "abcd" if rng.random() < 0.3] + (["x", "y"] if rng.random() < 0.2 else []) for _ in range(800)
    ]
    told = strongest(matrix(lines([basket or ["none"] for basket in baskets])), "item", 5)
    assert told.row(0, named=True)["item_i"] == "x"
    assert told["interpretation"][0].startswith("x and y are bought together")
