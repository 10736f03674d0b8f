"""The roll-ups against a plain re-computation, customer by customer, from the definitions."""

import datetime as dt
import statistics
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from made_shop import AS_OF, SHOP, ZONE, frame, lines, products, roll_up

from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.churn_labels import churn_labels
from lifecycle_assets.features.clv_inputs import CustomerClvInputs, customer_clv_inputs
from lifecycle_assets.features.customer import CustomerFeatures, customer_features
from lifecycle_assets.features.customer_orders import CustomerOrders, window_start
from lifecycle_assets.features.loyalty import CustomerLoyalty, customer_loyalty
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.rfm import CustomerRfm, customer_rfm
from lifecycle_assets.inputs.contracts import OrderLines, Products, Subscriptions
from lifecycle_assets.settings import ClvInputs, Customer

Row = dict[str, Any]


def raw(seed: int) -> dict[str, pl.DataFrame]:
    return {OrderLines.name: lines(seed), Products.name: products(seed)}


def clv_inputs(tables: dict[str, pl.DataFrame], settings: Customer) -> pl.DataFrame:
    orders, subscriptions = tables[Orders.name].lazy(), Subscriptions.empty().lazy()
    labels = churn_labels(orders, subscriptions, SHOP, AS_OF, settings.churn, ZONE)
    return customer_clv_inputs(tables[CustomerOrders.name].lazy(), labels.lazy(), settings)


@pytest.mark.parametrize(
    ("seed", "as_of", "months"),
    [(1, AS_OF, None), (2, AS_OF, None), (3, dt.date(2023, 8, 31), None), (4, AS_OF, 6), (5, AS_OF, 1)],
)
def test_every_order_feature_is_what_its_definition_says(seed: int, as_of: dt.date, months: int | None) -> None:
    given = raw(seed)
    table = roll_up(given, as_of, Customer(window_months=months))[CustomerOrders.name]
    expected = _by_hand(given, as_of, months)
    assert table["customer_id"].to_list() == sorted(expected), "customers are those with a purchase, in order"
    assert table.height > 10
    for row in table.to_dicts():
        hand = expected[row["customer_id"]]
        for column, value in hand.items():
            where = f"{row['customer_id']}.{column}"
            if isinstance(value, float):
                assert row[column] == pytest.approx(value, abs=1e-9), where
            else:
                assert row[column] == value, where
        assert set(hand) | {"shop_id", "as_of", "customer_id"} == set(row), "every column is checked"


def test_the_made_shop_holds_what_it_is_meant_to_test() -> None:
    tables = roll_up(raw(1))
    orders, customers = tables[Orders.name], tables[CustomerOrders.name]
    assert orders.filter(~pl.col("is_purchase")).height > 3, "orders that come to nothing"
    assert orders.filter(pl.col("is_purchase")).group_by("customer_id", "order_date").len()["len"].max() > 1
    assert 0 < customers["margin_total"].null_count() < customers.height
    assert customers["gap_cv"].null_count() < customers.height
    assert 0 < customers["orders_90d"].sum() < customers["visit_frequency"].sum()


def test_nothing_after_as_of_changes_anything() -> None:
    before = raw(5)
    order_lines = before[OrderLines.name]
    past, future = (order_lines.filter(pl.col("order_date") <= AS_OF), order_lines.filter(pl.col("order_date") > AS_OF))
    assert future.height > 50
    other = future.with_columns(
        *(pl.col(name).shuffle(seed=1) for name in ("customer_id", "order_id", "product_id", "category", "status")),
        pl.col("amount") * 7,
    ).head(40)
    one, two = (
        roll_up(before),
        roll_up({**before, OrderLines.name: pl.concat([past, OrderLines.conform(other.lazy()).collect()])}),
    )
    for table in (Orders.name, CustomerOrders.name, CustomerBehaviour.name):
        assert one[table].equals(two[table])


def line(number: int, customer: str, order: str, day: dt.date, quantity: float) -> Row:
    return {
        "line_no": number, "order_id": order, "customer_id": customer, "order_date": day,
        "ordered_at": dt.datetime.combine(day, dt.time(12), dt.UTC), "quantity": quantity, "unit_price": 10.0,
        "discount_amount": 0.0, "amount": Decimal(10 * int(quantity)), "status": "completed",
    }  # fmt: skip


def test_orders_that_come_to_nothing_are_no_purchases() -> None:
    first, second, third = (dt.date(2024, 1, day) for day in (1, 2, 3))
    given = frame(
        OrderLines,
        [
            line(1, "kept", "A", first, 2),
            line(2, "kept", "A", third, -1),
            line(3, "undone", "B", first, 1),
            line(4, "undone", "B", second, -1),
            line(5, "other", "A", third, 1),
        ],
    )
    tables = roll_up({OrderLines.name: given})
    orders = tables[Orders.name].select("customer_id", "order_id", "order_date", "amount", "is_purchase").rows()
    assert orders == [
        ("kept", "A", first, Decimal(10), True),
        ("other", "A", third, Decimal(10), True),
        ("undone", "B", first, Decimal(0), False),
    ]
    assert tables[CustomerOrders.name]["customer_id"].to_list() == ["kept", "other"]
    assert tables[CustomerOrders.name]["margin_total"].null_count() == 2, "no cost anywhere: no margin"


@pytest.mark.parametrize(
    ("column", "ages"),
    [
        ("orders_30d", range(30)),
        ("orders_90d", range(90)),
        ("orders_365d", range(365)),
        ("spend_90d", range(90)),
        ("spend_prev_90d", range(90, 180)),
    ],
)
def test_windows_hold_their_days_and_no_other(column: str, ages: range) -> None:
    edges = [0, 29, 30, 89, 90, 179, 180, 364, 365]
    given = [line(i, f"C{age}", "A", AS_OF - dt.timedelta(days=age), 1) for i, age in enumerate(edges, start=1)]
    table = roll_up({OrderLines.name: frame(OrderLines, given)})[CustomerOrders.name]
    inside = table.filter(pl.col(column) > 0)["customer_id"].to_list()
    assert sorted(inside) == sorted(f"C{age}" for age in edges if age in ages)


def test_churn_begins_on_the_last_day_of_the_window() -> None:
    given = [line(age, f"C{age}", "A", AS_OF - dt.timedelta(days=age), 1) for age in (89, 90)]
    table = clv_inputs(roll_up({OrderLines.name: frame(OrderLines, given)}), Customer())
    assert table.select("customer_id", "churned").rows() == [("C89", False), ("C90", True)]


def test_a_window_keeps_every_customer_and_their_dates() -> None:
    given, settings = raw(4), Customer(window_months=1)
    whole, short = roll_up(given), roll_up(given, settings=settings)
    assert short[Orders.name].equals(whole[Orders.name])
    kept = ["customer_id", "tenure_days", "recency_days", "first_purchase_date", "last_purchase_date", "orders_365d",
            "spend_prev_90d", "primary_category", "favourite_channel", "country", "purchase_days", "purchase_amount",
            "first_day_amount", "purchase_margin", "first_day_margin"]  # fmt: skip
    one, two = whole[CustomerOrders.name], short[CustomerOrders.name]
    assert two.select(kept).equals(one.select(kept))
    away = two.filter(pl.col("visit_frequency") == 0)
    assert 3 < away.height < two.height
    assert set(away["avg_ticket"]) == {0.0}
    assert (two["visit_frequency"] <= one["visit_frequency"]).all()
    loyalty = customer_loyalty(two.lazy(), settings.loyalty)
    CustomerLoyalty.require(CustomerLoyalty.conform(loyalty.lazy()).collect())
    scored = CustomerRfm.conform(customer_rfm(two.lazy(), settings.rfm).lazy()).collect()
    CustomerRfm.require(scored)
    silent = scored.filter(pl.col("frequency") == 0)["interpretation"]
    assert silent.str.contains("no purchase in the observation window, last").all()
    assert clv_inputs(short, settings).equals(clv_inputs(whole, settings))


def test_lines_without_a_product_are_no_units_unless_the_shop_knows_no_products() -> None:
    sold, postage = line(1, "ann", "A", AS_OF, 4), line(2, "ann", "A", AS_OF, 1)
    back, credit = line(3, "ann", "A", AS_OF, -1), line(4, "ann", "A", AS_OF, -1)
    for good in (sold, back):
        good["product_id"] = "P1"
    service_only = line(5, "bob", "B", AS_OF, 1)
    rows = [{"product_id": None, **row} for row in (sold, postage, back, credit, service_only)]

    def rates(given: list[Row]) -> list[float | None]:
        return roll_up({OrderLines.name: frame(OrderLines, given)})[CustomerOrders.name]["return_rate"].to_list()

    assert rates(rows) == [0.25, None]
    assert rates([{**row, "product_id": None} for row in rows]) == [0.4, 0.0]


def test_one_unknown_cost_puts_all_customers_on_amounts() -> None:
    def twice(customer: str, price: int, number: int) -> list[Row]:
        days = [AS_OF - dt.timedelta(days=9), AS_OF]
        rows = [line(number + i, customer, f"{customer}{i}", day, price) for i, day in enumerate(days)]
        return [{**row, "unit_cost": 5.0} for row in rows]

    rows = [*twice("cheap", 1, 1), *twice("dear", 4, 3), *twice("mid", 2, 5), {**line(7, "once", "X", AS_OF, 1)}]
    rows[-1]["unit_cost"] = None

    def value(given: list[Row], *, include_first: bool = False) -> list[tuple[str, str, Decimal]]:
        settings = Customer(clv_inputs=ClvInputs(include_first=include_first))
        tables = roll_up({OrderLines.name: frame(OrderLines, given)})
        table = clv_inputs(tables, settings).filter(pl.col("customer_id") != "once")
        assert table["clv_potential_tier"].to_list() == ["Low", "High", "Medium"]
        return table.select("customer_id", "monetary_basis", "monetary_value").rows()

    margins = [("cheap", "margin", 5), ("dear", "margin", 20), ("mid", "margin", 10)]
    amounts = [("cheap", "amount", 10), ("dear", "amount", 40), ("mid", "amount", 20)]
    assert value(rows) == margins, "a customer who never repeated has no value to rank"
    assert value(rows, include_first=True) == amounts
    assert value([{**row, "unit_cost": None} if row["customer_id"] == "cheap" else row for row in rows]) == amounts


def test_without_any_line_every_table_is_empty_and_typed() -> None:
    tables = roll_up({})
    for contract in (Orders, CustomerOrders, CustomerBehaviour):
        assert tables[contract.name].schema == contract.polars_schema
        assert tables[contract.name].is_empty()


@pytest.mark.parametrize(
    ("as_of", "months", "first"),
    [
        (dt.date(2024, 3, 31), 1, dt.date(2024, 3, 1)),
        (dt.date(2024, 2, 29), 12, dt.date(2023, 3, 1)),
        (dt.date(2024, 12, 31), 1, dt.date(2024, 12, 1)),
        (dt.date(2024, 1, 15), 1, dt.date(2023, 12, 16)),
        (dt.date(2024, 12, 10), 24, dt.date(2022, 12, 11)),
    ],
)
def test_the_window_begins_the_day_after_the_same_day_months_before(
    as_of: dt.date, months: int, first: dt.date
) -> None:
    assert window_start(as_of, months) == first


def test_customer_features_hold_one_row_per_customer_with_everything_joined() -> None:
    tables = roll_up(raw(6))
    loyalty = customer_loyalty(tables[CustomerOrders.name].lazy(), Customer().loyalty)
    behaviour = tables[CustomerBehaviour.name].lazy()
    # The order of the tables that are joined must not matter.
    mixed = loyalty.sample(fraction=1.0, shuffle=True, seed=3).lazy()
    joined = CustomerFeatures.conform(customer_features(tables[CustomerOrders.name].lazy(), mixed, behaviour)).collect()
    CustomerFeatures.require(joined)
    assert joined["customer_id"].equals(tables[CustomerOrders.name]["customer_id"])
    assert joined["loyalty_score"].equals(loyalty["loyalty_score"])
    for column in tables[CustomerOrders.name].columns:
        if column in joined.columns:
            assert joined[column].equals(tables[CustomerOrders.name][column])


@pytest.mark.parametrize("include_first", [False, True])
@pytest.mark.parametrize("basis", ["margin", "amount"])
def test_clv_inputs_count_days_not_orders(include_first: bool, basis: str) -> None:
    given = raw(7)
    if basis == "margin":
        given[OrderLines.name] = given[OrderLines.name].with_columns(pl.col("unit_cost").fill_null(0.5))
    tables = roll_up(given)
    known = tables[CustomerOrders.name]["purchase_margin"].null_count() == 0
    assert known == (basis == "margin")
    settings = Customer(clv_inputs=ClvInputs(include_first=include_first))
    table = CustomerClvInputs.conform(clv_inputs(tables, settings).lazy()).collect()
    CustomerClvInputs.require(table)
    orders = tables[Orders.name].filter("is_purchase").to_dicts()
    values = []
    for row in table.to_dicts():
        mine = [order for order in orders if order["customer_id"] == row["customer_id"]]
        days: dict[dt.date, Decimal] = {}
        for order in mine:
            days[order["order_date"]] = days.get(order["order_date"], Decimal(0)) + order[basis]
        counted = sorted(days) if include_first else sorted(days)[1:]
        assert row["frequency"] == len(days) - 1
        assert row["recency"] == (max(days) - min(days)).days
        assert row["T"] == (AS_OF - min(days)).days
        assert row["monetary_basis"] == basis
        mean = sum(days[day] for day in counted) / len(counted) if counted else Decimal(0)
        assert row["monetary_value"] == pytest.approx(mean, abs=Decimal("0.0001"))
        assert row["churned"] == ((AS_OF - max(days)).days >= 90)
        if row["frequency"]:
            values.append(float(row["monetary_value"]))
    low, high = pl.Series(values).quantile(0.3, "linear"), pl.Series(values).quantile(0.7, "linear")
    for row in table.to_dicts():
        value = float(row["monetary_value"])
        tier = "Low" if not row["frequency"] else "High" if value >= high else "Low" if value <= low else "Medium"
        assert row["clv_potential_tier"] == tier
        assert f"{row['monetary_value']:.2f} ({basis})" in row["explanations"] or row["frequency"] == 0
    assert set(table["clv_potential_tier"]) == {"High", "Medium", "Low"}


def _by_hand(given: dict[str, pl.DataFrame], as_of: dt.date, months: int | None) -> dict[str, Row]:
    catalogue = {row["product_id"]: row for row in given[Products.name].to_dicts()}
    customers: dict[str, list[Row]] = {}
    for line in given[OrderLines.name].to_dicts():
        product = catalogue.get(line["product_id"], {"category": None, "unit_cost": None})
        if line["status"] != "completed" or line["customer_id"] is None or line["order_date"] > as_of:
            continue
        line["category"] = line["category"] or product["category"]
        cost = line["unit_cost"] if line["unit_cost"] is not None else product["unit_cost"]
        known = cost is not None
        line["margin"] = line["amount"] - Decimal(str(line["quantity"])) * Decimal(str(cost)) if known else None
        customers.setdefault(line["customer_id"], []).append(line)
    features = {name: _features(mine, as_of, window_start(as_of, months)) for name, mine in customers.items()}
    return {name: row for name, row in features.items() if row}


def _features(mine: list[Row], as_of: dt.date, since: dt.date) -> Row | None:
    by_order: dict[str, list[Row]] = {}
    for line in mine:
        by_order.setdefault(line["order_id"], []).append(line)
    purchases = []
    total, total_margins = Decimal(0), []
    for of_order in by_order.values():
        amount = sum(line["amount"] for line in of_order)
        margins = [line["margin"] for line in of_order]
        if min(line["order_date"] for line in of_order) >= since:
            total += amount
            total_margins += margins
        if amount > 0:
            purchases.append(
                {
                    "date": min(line["order_date"] for line in of_order),
                    "amount": amount,
                    "margin": None if None in margins else sum(margins),
                    "channel": min((x["sales_channel"] for x in of_order if x["sales_channel"]), default=None),
                    "country": min(line["country"] for line in of_order),
                }
            )
    if not purchases:
        return None
    purchases.sort(key=lambda order: order["date"])
    dates = [order["date"] for order in purchases]
    visits = [date for date in dates if date >= since]
    gaps = [(b - a).days for a, b in pairwise(visits)]
    enough = len(visits) >= 3
    ever_sold = [line for line in mine if line["quantity"] > 0]
    sold = [line for line in ever_sold if line["order_date"] >= since]
    units = [line["quantity"] for line in mine if line["product_id"] and line["order_date"] >= since]
    bought = sum(n for n in units if n > 0)
    gross = sum((line["amount"] + Decimal(str(line["discount_amount"])) for line in sold), Decimal(0))
    first_day = [order for order in purchases if order["date"] == dates[0]]
    known = all(order["margin"] is not None for order in purchases)

    def spent(oldest: int, newest: int) -> Decimal:
        ages = [((as_of - line["order_date"]).days, line["amount"]) for line in mine]
        return sum((amount for age, amount in ages if newest <= age < oldest), Decimal(0))

    return {
        "purchase_total": total,
        "visit_frequency": len(visits),
        "avg_ticket": float(total) / len(visits) if visits else 0.0,
        "product_diversity": len({line["product_id"] for line in sold} - {None}),
        "category_diversity": len({line["category"] for line in sold} - {None}),
        "recency_days": (as_of - dates[-1]).days,
        "tenure_days": (as_of - dates[0]).days,
        "median_gap_days": float(statistics.median(gaps)) if enough else None,
        "gap_cv": statistics.stdev(gaps) / statistics.mean(gaps) if enough and sum(gaps) else None,
        "margin_total": None if None in total_margins else sum(total_margins),
        "discount_share": float(sum(line["discount_amount"] for line in sold)) / float(gross) if gross else None,
        "return_rate": float(-sum(n for n in units if n <= 0) / bought) if bought else None,
        "primary_category": _most_frequent([(line["category"], line["order_date"]) for line in ever_sold]),
        "favourite_channel": _most_frequent([(order["channel"], order["date"]) for order in purchases]),
        "country": _most_frequent([(order["country"], order["date"]) for order in purchases]),
        "orders_30d": sum((as_of - date).days < 30 for date in dates),
        "orders_90d": sum((as_of - date).days < 90 for date in dates),
        "orders_365d": sum((as_of - date).days < 365 for date in dates),
        "spend_90d": spent(90, 0),
        "spend_prev_90d": spent(180, 90),
        "first_purchase_date": dates[0],
        "last_purchase_date": dates[-1],
        "purchase_days": len(set(dates)),
        "purchase_amount": sum(order["amount"] for order in purchases),
        "first_day_amount": sum(order["amount"] for order in first_day),
        "purchase_margin": sum(order["margin"] for order in purchases) if known else None,
        "first_day_margin": (
            sum(order["margin"] for order in first_day) if all(o["margin"] is not None for o in first_day) else None
        ),
    }


def _most_frequent(seen: list[tuple[str | None, dt.date]]) -> str | None:
    counts = Counter(value for value, _ in seen if value is not None)
    latest = {value: max(day for other, day in seen if other == value) for value in counts}
    return min(counts, key=lambda value: (-counts[value], -latest[value].toordinal(), value), default=None)
