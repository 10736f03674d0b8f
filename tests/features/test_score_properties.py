"""What must hold for the scores of any shop: doing better never scores worse, equals score alike, and the tables add up."""

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_shop import AS_OF, SHOP, frame, roll_up

from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.loyalty import customer_loyalty, loyalty_summary
from lifecycle_assets.features.rfm import customer_rfm, rfm_thresholds
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.settings import Loyalty, LoyaltyWeights, Rfm

METRICS = list(LoyaltyWeights.model_fields)
SCORES = {"recency": "recency_score", "frequency": "frequency_score", "monetary": "monetary_score"}
VALUES = {"recency": "recency_days", "frequency": "frequency", "monetary": "monetary_total"}

# Few different values, so that many are equal; five metrics a customer.
shops = st.lists(st.tuples(*[st.integers(0, 30)] * 5), min_size=2, max_size=40)
# Orders of a few customers: who, how many days ago, for how much.
sales = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 300), st.integers(1, 50)), min_size=1, max_size=40)


def customers(rows: list[tuple[int, ...]]) -> pl.LazyFrame:
    columns = dict(zip(METRICS, zip(*rows, strict=True), strict=True))
    made = pl.DataFrame(
        {"shop_id": SHOP, "as_of": AS_OF, "customer_id": [f"C{i:04d}" for i in range(len(rows))], **columns}
    )
    return made.with_columns(pl.col("purchase_total").cast(pl.Decimal(18, 4))).lazy()


@settings(deadline=None)
@given(shops, st.sampled_from(METRICS), st.integers(1, 30), st.booleans(), st.data())
def test_a_better_metric_never_lowers_the_loyalty_score(
    rows: list[tuple[int, ...]], metric: str, more: int, robust: bool, data: st.DataObject
) -> None:
    who, place = data.draw(st.integers(0, len(rows) - 1)), METRICS.index(metric)
    assume(len({row[place] for row in rows}) > 1)
    value = rows[who][place]
    better = max(0, value - more) if metric == "recency_days" else value + more
    after = list(rows)
    after[who] = (*rows[who][:place], better, *rows[who][place + 1 :])
    assume(len({row[place] for row in after}) > 1)
    rule = Loyalty(robust=robust)
    scores = [customer_loyalty(customers(shop), rule)["loyalty_score"][who] for shop in (rows, after)]
    # Scores are kept to nine decimals.
    assert scores[1] >= scores[0] - 1e-9


@settings(deadline=None)
@given(shops, st.booleans())
def test_who_is_at_least_as_good_in_everything_scores_at_least_as_high(
    rows: list[tuple[int, ...]], robust: bool
) -> None:
    table = customer_loyalty(customers(rows), Loyalty(robust=robust))
    recency = METRICS.index("recency_days")
    good = [tuple(-v if i == recency else v for i, v in enumerate(row)) for row in rows]
    for one, score in zip(good, table["loyalty_score"], strict=True):
        for two, other in zip(good, table["loyalty_score"], strict=True):
            if all(a >= b for a, b in zip(one, two, strict=True)):
                assert score >= other


@settings(deadline=None)
@given(shops)
def test_the_summary_counts_all_and_its_shares_add_to_one(rows: list[tuple[int, ...]]) -> None:
    summary = loyalty_summary(customer_loyalty(customers(rows), Loyalty()).lazy())
    assert summary["customers"].sum() == len(rows)
    assert summary["customer_share"].sum() == pytest.approx(1, abs=1e-12)


@settings(deadline=None)
@given(shops, st.integers(2, 10))
def test_the_thresholds_give_every_score_and_equals_score_alike(rows: list[tuple[int, ...]], bins: int) -> None:
    shop = customers(rows)
    table, cuts = customer_rfm(shop, Rfm(bins=bins)), rfm_thresholds(shop, Rfm(bins=bins))
    for metric, score in SCORES.items():
        value = pl.col(VALUES[metric]).cast(pl.Float64)
        above = sum(((value > cut).cast(pl.Int64) for cut in cuts.filter(metric=metric)["value"]), pl.lit(0))
        again = bins - above if metric == "recency" else 1 + above
        assert table.select(again.cast(pl.Int64).alias(score)).to_series().to_list() == table[score].to_list()
        assert table.group_by(VALUES[metric]).agg(pl.col(score).n_unique())[score].max() == 1
        assert table[score].is_between(1, bins).all()


def scored(orders: list[tuple[int, int, int]], bins: int) -> dict[str, dict[str, Any]]:
    """The RFM row of each customer, from order lines up."""
    lines = []
    for number, (who, ago, amount) in enumerate(orders, start=1):
        day = AS_OF - dt.timedelta(days=ago)
        lines.append(
            {
                "line_no": number, "order_id": f"O{number}", "customer_id": f"C{who}", "order_date": day,
                "ordered_at": dt.datetime.combine(day, dt.time(12), dt.UTC), "quantity": 1.0,
                "unit_price": float(amount), "discount_amount": 0.0, "amount": Decimal(amount), "status": "completed",
            }
        )  # fmt: skip
    made = roll_up({OrderLines.name: frame(OrderLines, lines)})[CustomerOrders.name]
    return {row["customer_id"]: row for row in customer_rfm(made.lazy(), Rfm(bins=bins)).to_dicts()}


@settings(max_examples=12, deadline=None)
@given(sales, st.integers(2, 10), st.integers(0, 300), st.integers(1, 50), st.data())
def test_another_purchase_never_lowers_a_score_of_the_one_who_bought(
    orders: list[tuple[int, int, int]], bins: int, ago: int, amount: int, data: st.DataObject
) -> None:
    who = data.draw(st.sampled_from(sorted({order[0] for order in orders})))
    before, after = scored(orders, bins), scored([*orders, (who, ago, amount)], bins)
    for score in SCORES.values():
        assert after[f"C{who}"][score] >= before[f"C{who}"][score], score
    others = [name for name in before if name != f"C{who}"]
    assert all(before[name][value] == after[name][value] for name in others for value in VALUES.values())
