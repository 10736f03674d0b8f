"""Suggestions in a made-up shop whose customers move up at known rates, and the gates that a suggestion has to pass."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs.contracts import Customers, OrderLines, Products, Subscriptions, WebEvents
from lifecycle_assets.models.similar_items import SimilarItems
from lifecycle_assets.models.upsell import UpsellSuggestions, upsell_suggestions
from lifecycle_assets.settings import Upsell

AS_OF = dt.date(2024, 12, 31)
PAIRS = 12
HORIZON = 90
RATES = np.linspace(0.03, 0.4, PAIRS)
NO_EVENTS = WebEvents.empty().lazy()
NO_PLANS = Subscriptions.empty().lazy(), Customers.empty().lazy()
LADDERS = [
    [
        {"name": "basic", "price": 10, "unit_cost": 2},
        {"name": "plus", "price": 25, "unit_cost": 5},
        {"name": "max", "price": 60},
    ],
    [{"name": "phone", "price": 5, "unit_cost": 1}, {"name": "phone-xl", "price": 6, "unit_cost": 3}],
]


def filled(contract: Contract, frame: pl.DataFrame) -> pl.LazyFrame:
    """A frame with some of the contract's columns, the others null."""
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in frame.columns]
    return contract.conform(frame.with_columns(absent).lazy())


def sales(rows: list[tuple[str, str, int]], price: dict[str, float]) -> pl.LazyFrame:
    """Rows of customer, product and days before AS_OF."""
    frame = pl.DataFrame(rows, schema=["customer_id", "product_id", "age"], orient="row").select(
        "customer_id",
        "product_id",
        line_no=pl.int_range(1, pl.len() + 1),
        order_id=pl.format("o{}", pl.int_range(pl.len())),
        order_date=pl.lit(AS_OF) - pl.duration(days=pl.col("age")),
        quantity=pl.lit(1.0),
        amount=pl.col("product_id").replace_strict(price, return_dtype=pl.Float64),
        status=pl.lit("completed"),
    )
    return filled(OrderLines, frame.with_columns(ordered_at=pl.col("order_date").cast(pl.Datetime("us", "UTC"))))


def catalogue(rows: list[tuple[str, str, float, float | None, float | None]]) -> pl.LazyFrame:
    columns = ["product_id", "category", "price", "unit_cost", "inventory_level"]
    schema = dict.fromkeys(columns[:2], pl.String) | dict.fromkeys(columns[2:], pl.Float64)
    return filled(Products, pl.DataFrame(rows, schema=schema, orient="row"))


def alike(pairs: list[tuple[str, str]]) -> pl.LazyFrame:
    return filled(SimilarItems, pl.DataFrame(pairs, schema=["product_id", "item_id"], orient="row"))


def suggest(
    lines: pl.LazyFrame,
    products: pl.LazyFrame,
    similar: pl.LazyFrame,
    events: pl.LazyFrame = NO_EVENTS,
    plans: tuple[pl.LazyFrame, pl.LazyFrame] = NO_PLANS,
    **settings: object,
) -> pl.DataFrame:
    table = upsell_suggestions(
        lines,
        events,
        products,
        similar,
        *plans,
        shop="s",
        as_of=AS_OF,
        timezone="America/New_York",
        settings=Upsell.model_validate(settings),
    )
    UpsellSuggestions.require(UpsellSuggestions.conform(table.lazy()).collect())
    return table


@pytest.fixture(scope="module")
def world() -> tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]:
    """Each customer buys one plain product and moves up from it at a constant daily rate, so that of those who have not yet
    done so the share RATES does within any 90 days."""
    rng = np.random.default_rng(2)
    n = 9000
    pair = rng.integers(0, PAIRS, n)
    first = rng.integers(0, 330, n)
    wait = rng.exponential(HORIZON / -np.log1p(-RATES[pair])).astype(int) + 1
    rows = []
    for customer, (which, age, later) in enumerate(zip(pair.tolist(), first.tolist(), wait.tolist(), strict=True)):
        rows.append((f"c{customer:04d}", f"plain{which}", age))
        if later <= age:
            rows.append((f"c{customer:04d}", f"better{which}", age - later))
    goods = [(f"plain{i}", f"k{i}", 10.0, 5.0, None) for i in range(PAIRS)]
    goods += [(f"better{i}", f"k{i}", 13.0, 6.0, None) for i in range(PAIRS)]
    price = {product: cost for product, _, cost, *_ in goods}
    return sales(rows, price), catalogue(goods), alike([(f"plain{i}", f"better{i}") for i in range(PAIRS)])


def test_the_chance_is_the_rate_at_which_customers_move_up(
    world: tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame],
) -> None:
    table = suggest(*world)
    which = table["product_id"].str.strip_prefix("plain").cast(pl.Int64).to_numpy()
    assert table["item_id"].str.strip_prefix("better").cast(pl.Int64).to_list() == which.tolist()
    chance, truth = table["p_accept"].to_numpy(), RATES[which]
    assert chance.mean() == pytest.approx(truth.mean(), rel=0.1)
    per_pair = [chance[which == i].mean() for i in range(PAIRS)]
    assert np.corrcoef(per_pair, RATES)[0, 1] > 0.95
    assert np.abs(per_pair - RATES).max() < 0.08
    assert np.allclose(table["expected_extra_margin"], chance * 2.0)


def test_the_order_of_the_lines_does_not_matter(world: tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]) -> None:
    lines, products, similar = world
    shuffled = lines.collect().sample(fraction=1, shuffle=True, seed=4).lazy()
    assert suggest(lines, products, similar).equals(suggest(shuffled, products, similar))


def test_nothing_after_the_day_looked_at_counts(world: tuple[pl.LazyFrame, pl.LazyFrame, pl.LazyFrame]) -> None:
    lines, products, similar = world
    later = lines.with_columns(
        pl.col("order_date") + pl.duration(days=400), line_no=pl.col("line_no") + 100_000, product_id=pl.lit("better0")
    )
    assert suggest(pl.concat([lines, later]), products, similar).equals(suggest(lines, products, similar))


def history(*extra: tuple[str, str, int]) -> list[tuple[str, str, int]]:
    """Forty customers who had bought `base` before the horizon; ten of them then bought each of what there is beside it."""
    goods = ("good", "dear", "cheap", "other", "poor", "gone", "owned")
    old = [(f"h{i}", "base", 200) for i in range(40)]
    return old + [(f"h{i}", item, 30) for i in range(10) for item in goods] + list(extra)


PRICES = {
    "base": 10.0,
    "good": 13.0,
    "dear": 17.0,
    "cheap": 10.5,
    "other": 13.0,
    "poor": 13.0,
    "gone": 13.0,
    "owned": 13.0,
}
COSTS = dict.fromkeys(PRICES, 5.0) | {"poor": 9.0}
KINDS = dict.fromkeys(PRICES, "k") | {"other": "another"}
GOODS = catalogue([(p, KINDS[p], PRICES[p], COSTS[p], 0.0 if p == "gone" else 5.0) for p in PRICES])
SIMILAR = alike([("base", item) for item in PRICES if item != "base"])


def test_only_the_next_better_one_is_suggested() -> None:
    table = suggest(sales(history(("me", "base", 10), ("me", "owned", 5)), PRICES), GOODS, SIMILAR)
    # Too dear, too cheap, of another category, of less margin, out of stock and already owned are left out.
    mine = table.filter(customer_id="me")
    assert mine["item_id"].to_list() == ["good"]
    assert mine.select("basis", "margin_difference", "source").row(0) == ("margin", 3.0, "bought")
    assert mine["explanation"][0].startswith("Bought base: good costs 30 % more; ")


def test_bounds_and_number_are_the_shops() -> None:
    lines = sales(history(("me", "base", 10)), PRICES)
    wide = suggest(lines, GOODS, SIMILAR, min_price_step=0.01, max_price_step=0.9).filter(customer_id="me")
    assert wide["item_id"].to_list()[0] == "dear"
    assert set(wide["item_id"]) == {"dear", "good", "owned"}
    assert wide["rank"].to_list() == [1, 2, 3]
    assert wide["expected_extra_margin"].is_sorted(descending=True)
    one = suggest(lines, GOODS, SIMILAR, min_price_step=0.01, max_price_step=0.9, per_customer=1)
    assert one.filter(customer_id="me")["item_id"].to_list() == ["dear"]


def test_without_costs_prices_stand_in() -> None:
    free = GOODS.with_columns(unit_cost=pl.lit(None, pl.Float64))
    table = suggest(sales(history(("me", "base", 10)), PRICES), free, SIMILAR).filter(customer_id="me")
    assert set(table["basis"]) == {"price"}
    assert set(table["margin_difference"]) == {3.0}
    assert "poor" in table["item_id"].to_list()


def test_what_was_viewed_counts_with_its_own_rate() -> None:
    ages = [200] * 40 + [10]
    events = pl.DataFrame({"customer_id": [f"v{i}" for i in range(40)] + ["me"], "age": ages}).select(
        "customer_id",
        event_id=pl.format("e{}", pl.int_range(pl.len())),
        event_type=pl.lit("view"),
        product_id=pl.lit("base"),
        occurred_at=(pl.lit(AS_OF) - pl.duration(days=pl.col("age"))).cast(pl.Datetime("us", "UTC")),
    )
    lines = sales(history(*((f"v{i}", "good", 30) for i in range(20)), ("me", "other", 10)), PRICES)
    mine = suggest(lines, GOODS, SIMILAR, filled(WebEvents, events)).filter(customer_id="me", item_id="good")
    assert mine["source"].item() == "viewed"
    assert mine["explanation"].item().startswith("Viewed base: ")
    assert mine["p_accept"].item() > 0.3


def test_nobody_moved_up_or_nothing_known_is_no_suggestion() -> None:
    none = [row for row in history() if row[1] == "base"]
    assert suggest(sales(none, PRICES), GOODS, SIMILAR).is_empty()
    assert suggest(sales(history(), PRICES), GOODS, SimilarItems.empty().lazy()).is_empty()
    assert suggest(OrderLines.empty().lazy(), GOODS, SIMILAR).is_empty()


def subscribed(rows: list[tuple[str, str, int, int | None]]) -> pl.LazyFrame:
    """Rows of customer, plan, and days before AS_OF of its start and of its end."""
    schema = {"customer_id": pl.String, "plan": pl.String, "age": pl.Int64, "end": pl.Int64}
    noon = pl.lit(dt.datetime.combine(AS_OF, dt.time(17), tzinfo=dt.UTC))
    frame = pl.DataFrame(rows, schema=schema, orient="row").select(
        "customer_id",
        "plan",
        subscription_id=pl.format("s{}", pl.int_range(pl.len())),
        started_at=noon - pl.duration(days="age"),
        cancelled_at=noon - pl.duration(days="end"),
    )
    return filled(Subscriptions, frame)


def on_plans(
    subscriptions: pl.LazyFrame, customers: pl.LazyFrame = NO_PLANS[1], lines: pl.LazyFrame | None = None
) -> pl.DataFrame:
    lines = OrderLines.empty().lazy() if lines is None else lines
    plans = subscriptions, customers
    return suggest(lines, GOODS, SimilarItems.empty().lazy(), plans=plans, plan_ladders=LADDERS)


def movers(n: int, rate: float, plan: str = "basic", better: str = "plus") -> list[tuple[str, str, int, int | None]]:
    """Customers of a plan, of whom the share `rate` moves up within any 90 days."""
    rng = np.random.default_rng(7)
    rows = []
    for customer, wait in enumerate(rng.exponential(HORIZON / -np.log1p(-rate), n).astype(int)):
        start = int(rng.integers(0, 700))
        name, moves = f"{plan}{customer:05d}", wait < start
        rows.append((name, plan, start, start - wait if moves else None))
        if moves:
            rows.append((name, better, start - wait, None))
    return rows


def test_the_chance_of_a_plan_is_the_rate_at_which_customers_move_up_to_it() -> None:
    rows = movers(4000, 0.12) + movers(4000, 0.3, "phone", "phone-xl")
    table = on_plans(subscribed(rows))
    moved = {name for name, plan, *_ in rows if plan == "plus"}
    assert set(table["customer_id"]) == {name for name, plan, *_ in rows if plan == "basic"} - moved
    # A dearer telephone plan that costs the shop more than it brings is not suggested.
    assert table.select("product_id", "item_id", "source", "basis").unique().rows() == [
        ("basic", "plus", "plan", "margin")
    ]
    assert table["p_accept"].mean() == pytest.approx(0.12, rel=0.15)
    assert table["margin_difference"].unique().to_list() == [12.0]
    assert table["explanation"][0].startswith("Plan basic: plus costs 150 % more; ")
    assert on_plans(subscribed(rows[::-1])).equals(table)


def test_the_plan_held_today_counts() -> None:
    rows = [
        ("left", "basic", 300, 20),
        ("was higher", "plus", 300, 200),
        ("was higher", "basic", 200, None),
        ("two", "basic", 300, None),
        ("two", "phone", 100, None),
        ("to come", "basic", -5, None),
        ("plain", "basic", 400, None),
        ("up", "basic", 300, 40),
        ("up", "plus", 40, None),
    ]
    rates = movers(300, 0.2) + movers(100, 0.2, "plus", "max")
    found = on_plans(subscribed(rows + rates)).filter(pl.col("customer_id").is_in([name for name, *_ in rows]))
    suggested = set(found.select("customer_id", "product_id", "item_id").rows())
    assert suggested == {("two", "basic", "plus"), ("plain", "basic", "plus"), ("up", "plus", "max")}
    # The cost of the highest plan is not known: prices stand in.
    assert found.filter(customer_id="up").select("basis", "margin_difference").row(0) == ("price", 35.0)


def test_the_plan_of_a_customers_account_will_do() -> None:
    accounts = pl.DataFrame({"customer_id": ["since ever", "since May"], "plan": ["basic", "basic"]}).with_columns(
        plan_started_at=pl.Series([None, dt.datetime(2024, 5, 1, tzinfo=dt.UTC)], dtype=pl.Datetime("us", "UTC"))
    )
    known = on_plans(subscribed(movers(300, 0.2)), filled(Customers, accounts))
    found = known.filter(pl.col("customer_id").str.starts_with("since"))
    assert found["item_id"].to_list() == ["plus", "plus"]
    # One more customer is seen not to move up within the last horizon, the one whose start is known.
    without = on_plans(subscribed(movers(300, 0.2)))
    assert known["customers_alike"].max() - without["customers_alike"].max() == 1


def test_a_move_on_an_unknown_day_is_no_acceptance() -> None:
    stayed = [(f"c{k:03d}", "basic", 400, None) for k in range(200)]
    accounts = pl.DataFrame({"customer_id": [name for name, *_ in stayed[:100]]}).with_columns(plan=pl.lit("plus"))
    known = on_plans(subscribed(stayed + movers(300, 0.2)), filled(Customers, accounts))
    without = on_plans(subscribed(stayed[100:] + movers(300, 0.2)))
    basic = pl.col("product_id") == "basic"
    assert known.filter(basic).equals(without.filter(basic))


def test_a_product_of_a_plans_name_is_another_thing() -> None:
    lines = sales([(f"x{i}", "basic", 200) for i in range(50)], {"basic": 3.0})
    rows = subscribed(movers(300, 0.2))
    assert on_plans(rows, lines=lines).equals(on_plans(rows))


def test_a_plan_has_one_place() -> None:
    with pytest.raises(ValueError, match="more than one have basic"):
        Upsell.model_validate({"plan_ladders": [LADDERS[0], [LADDERS[0][0]]]})
