"""RFM and loyalty: published rules against plain re-computations, and the properties that must always hold."""

import datetime as dt
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_shop import AS_OF, SHOP

from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.loyalty import CustomerLoyalty, LoyaltySummary, customer_loyalty, loyalty_summary
from lifecycle_assets.features.quantiles import quantiles
from lifecycle_assets.features.rfm import CustomerRfm, RfmThresholds, customer_rfm, rfm_thresholds
from lifecycle_assets.settings import Loyalty, LoyaltyWeights, Rfm

Customer = tuple[int, int, int]
customers = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 12), st.integers(-50, 500)), min_size=1, max_size=60)


def features(rows: list[Customer]) -> pl.LazyFrame:
    """Customers of (recency_days, visit_frequency, purchase_total)."""
    recency, frequency, total = zip(*rows, strict=True)
    frame = pl.DataFrame(
        {
            "shop_id": SHOP, "as_of": AS_OF, "customer_id": [f"C{i:06d}" for i in range(len(rows))],
            "recency_days": recency, "visit_frequency": frequency,
            "purchase_total": pl.Series(total).cast(pl.Decimal(18, 4)),
            "avg_ticket": [float(t) / f for t, f in zip(total, frequency, strict=True)],
            "product_diversity": frequency,
        }
    )  # fmt: skip
    return frame.lazy()


def exact_quantile(values: list[int], share: Fraction) -> Fraction:
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@settings(deadline=None)
@given(customers, st.integers(2, 10))
def test_scores_are_the_right_closed_quantile_classes(rows: list[Customer], bins: int) -> None:
    table = customer_rfm(features(rows), Rfm(bins=bins))
    CustomerRfm.require(CustomerRfm.conform(table.lazy()).collect())
    columns = {"recency_score": 0, "frequency_score": 1, "monetary_score": 2}
    for score, place in columns.items():
        values = [row[place] for row in rows]
        cuts = [exact_quantile(values, Fraction(i, bins)) for i in range(1, bins)]
        above = [sum(cut < value for cut in cuts) for value in values]
        assert table[score].to_list() == [bins - n if score == "recency_score" else 1 + n for n in above]
    separator = "-" if bins == 10 else ""
    for row in table.to_dicts():
        scores = [row[score] for score in columns]
        assert row["rfm_total"] == sum(scores)
        assert row["rfm_class"] == separator.join(map(str, scores))


@settings(deadline=None)
@given(customers, st.data())
def test_another_purchase_never_lowers_the_frequency_score(rows: list[Customer], data: st.DataObject) -> None:
    who = data.draw(st.integers(0, len(rows) - 1))
    more = [(r, f + (i == who), m) for i, (r, f, m) in enumerate(rows)]
    before, after = (customer_rfm(features(shop), Rfm())["frequency_score"][who] for shop in (rows, more))
    assert after >= before


@settings(deadline=None)
@given(customers)
def test_equal_values_share_a_score_and_the_order_of_rows_does_not_matter(rows: list[Customer]) -> None:
    table = customer_rfm(features(rows), Rfm())
    for column, score in (("frequency", "frequency_score"), ("recency_days", "recency_score")):
        assert table.group_by(column).agg(pl.col(score).n_unique())[score].max() == 1
    backwards = customer_rfm(features(rows).reverse(), Rfm()).sort("customer_id")
    assert backwards.equals(table)


@settings(deadline=None)
@given(customers, st.integers(2, 10))
def test_tiers_follow_from_the_totals(rows: list[Customer], bins: int) -> None:
    table = customer_rfm(features(rows), Rfm(bins=bins))
    others = [total for total in table["rfm_total"] if total < 3 * bins - 2]
    for total, tier in table.select("rfm_total", "rfm_tier").rows():
        if total >= 3 * bins - 2:
            assert tier == "Champion"
        elif total >= exact_quantile(others, Fraction(7, 10)):
            assert tier == "Loyal"
        elif total <= exact_quantile(others, Fraction(2, 10)):
            assert tier == "At-Risk"
        elif total >= exact_quantile(others, Fraction(45, 100)):
            assert tier == "Potential"
        else:
            assert tier == "Promising"


def test_thresholds_reproduce_every_score() -> None:
    rng = np.random.default_rng(1)
    rows = list(
        zip(
            rng.integers(0, 300, 500).tolist(),
            rng.integers(1, 9, 500).tolist(),
            rng.integers(1, 900, 500).tolist(),
            strict=True,
        )
    )
    shop = features(rows)
    table, cuts = customer_rfm(shop, Rfm()), rfm_thresholds(shop, Rfm())
    RfmThresholds.require(RfmThresholds.conform(cuts.lazy()).collect())
    assert cuts.group_by("metric").len().sort("metric").rows() == [
        ("frequency", 4), ("monetary", 4), ("recency", 4), ("rfm_total", 4),
    ]  # fmt: skip
    for metric, column, score in (
        ("frequency", "frequency", "frequency_score"),
        ("monetary", "monetary_total", "monetary_score"),
    ):
        values = cuts.filter(pl.col("metric") == metric)["value"].to_list()
        again = sum((pl.col(column).cast(pl.Float64) > value).cast(pl.Int64) for value in values) + 1
        assert table.select(again.alias(score))[score].equals(table[score])
    assert {"Champion", "Loyal", "Potential", "At-Risk"} <= set(table["rfm_tier"])


def test_interpretations_say_the_customers_own_numbers() -> None:
    table = customer_rfm(features([(0, 1, 10), (1, 2, 20), (90, 30, 1234)]), Rfm())
    texts = table["interpretation"].to_list()
    assert len(set(texts)) == 3
    assert "bought once for 10.00 in total, last today" in texts[0]
    assert "last yesterday" in texts[1]
    assert "bought 30 times for 1234.00 in total, last 90 days ago" in texts[2]
    assert "weakest in recency (1)" in texts[2]


@pytest.mark.parametrize("n", [11, 21, 31, 101, 1001])
def test_a_quantile_that_falls_on_a_value_is_that_value(n: int) -> None:
    values = np.cumsum(np.full(n, 0.1))
    for tenth in range(11):
        assert quantiles(values, [tenth / 10])[0] == values[tenth * (n - 1) // 10]
    assert quantiles(values, [0.333])[0] == pytest.approx(np.quantile(values, 0.333), abs=1e-12)


def by_hand_loyalty(rows: list[dict[str, Any]], weights: dict[str, float], robust: bool) -> list[float]:
    scores = [0.0] * len(rows)
    for metric, weight in weights.items():
        values = [float(row[metric]) for row in rows]
        low, high = min(values), max(values)
        if robust:
            low, high = np.percentile(values, [1, 99])
            if low == high:
                low, high = min(values), max(values)
        for i, value in enumerate(values):
            if min(values) == max(values):
                scaled = 1.0
            else:
                scaled = min(max((value - low) / (high - low), 0), 1)
                scaled = 1 - scaled if metric == "recency_days" else scaled
            scores[i] += scaled * weight / sum(weights.values())
    return scores


@settings(deadline=None)
@given(customers, st.booleans(), st.lists(st.integers(0, 5), min_size=5, max_size=5).filter(any))
def test_loyalty_is_the_weighted_sum_of_scaled_metrics(rows: list[Customer], robust: bool, parts: list[int]) -> None:
    weights = dict(zip(LoyaltyWeights.model_fields, map(float, parts), strict=True))
    shop = features(rows)
    settings = Loyalty(weights=LoyaltyWeights(**weights), robust=robust)
    table = customer_loyalty(shop, settings)
    CustomerLoyalty.require(CustomerLoyalty.conform(table.lazy()).collect())
    assert table["loyalty_score"].to_list() == pytest.approx(
        by_hand_loyalty(shop.collect().to_dicts(), weights, robust), abs=2e-9
    )
    bounds = {"Platinum": 0.85, "Gold": 0.7, "Silver": 0.5, "Bronze": 0.3, "At-Risk": 0.0}
    for score, segment in table.select("loyalty_score", "segment").rows():
        assert segment == next(name for name, bound in bounds.items() if score >= bound)


def test_a_shop_of_equal_customers_is_all_platinum() -> None:
    table = customer_loyalty(features([(10, 2, 50)] * 7), Loyalty())
    assert table["loyalty_score"].to_list() == [1.0] * 7
    assert set(table["segment"]) == {"Platinum"}


def test_one_outlier_does_not_flatten_the_others() -> None:
    rows = [(day, 1 + day % 5, 10 + day) for day in range(300)]
    plain = customer_loyalty(features([*rows, (0, 2000, 1_000_000)]), Loyalty(robust=False))["loyalty_score"][:300]
    robust = customer_loyalty(features([*rows, (0, 2000, 1_000_000)]), Loyalty())["loyalty_score"][:300]
    assert robust.std() > 1.5 * plain.std()


def test_a_metric_that_hardly_varies_still_tells_the_few_apart() -> None:
    weights = LoyaltyWeights(purchase_total=0, visit_frequency=1, avg_ticket=0, product_diversity=0, recency_days=0)
    table = customer_loyalty(features([*[(5, 1, 10)] * 299, (5, 20, 10)]), Loyalty(weights=weights))
    assert table["loyalty_score"].to_list() == [0.0] * 299 + [1.0]


def test_the_summary_counts_every_customer_once() -> None:
    rng = np.random.default_rng(2)
    rows = list(
        zip(
            rng.integers(0, 300, 999).tolist(),
            rng.integers(1, 9, 999).tolist(),
            rng.integers(1, 900, 999).tolist(),
            strict=True,
        )
    )
    table = customer_loyalty(features(rows), Loyalty())
    summary = LoyaltySummary.conform(loyalty_summary(table.lazy()).lazy()).collect()
    LoyaltySummary.require(summary)
    assert summary["customers"].sum() == 999
    assert summary["customer_share"].sum() == pytest.approx(1)
    for row in summary.to_dicts():
        scores = table.filter(pl.col("segment") == row["segment"])["loyalty_score"].to_numpy()
        assert row["customers"] == scores.size
        assert row["mean_score"] == pytest.approx(scores.mean(), abs=1e-12)
        assert row["median_score"] == pytest.approx(np.median(scores), abs=1e-12)
        assert row["p90_score"] == pytest.approx(np.quantile(scores, 0.9), abs=1e-12)


def test_without_customers_every_table_is_empty_and_typed() -> None:
    nobody = CustomerOrders.empty().lazy()
    assert customer_rfm(nobody, Rfm()).schema == CustomerRfm.polars_schema
    assert rfm_thresholds(nobody, Rfm()).schema == RfmThresholds.polars_schema
    loyalty = customer_loyalty(nobody, Loyalty())
    assert loyalty.schema == CustomerLoyalty.polars_schema
    assert loyalty_summary(loyalty.lazy()).is_empty()


def test_dates_of_the_frame_are_kept() -> None:
    table = customer_rfm(features([(3, 2, 20)]).with_columns(pl.lit(dt.date(2020, 2, 29)).alias("as_of")), Rfm())
    assert table.select("shop_id", "as_of").rows() == [(SHOP, dt.date(2020, 2, 29))]
