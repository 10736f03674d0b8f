"""The series of a shop: every amount in exactly one part of each dimension, to the cent."""

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from made_shop import AS_OF, frame, lines
from polars.testing import assert_frame_equal

from lifecycle_assets.inputs.contracts import Costs, OrderLines
from lifecycle_assets.models.forecast_series import cost_series, orders_per_day, revenue_series, unit_series
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.settings import Forecasting

SETTINGS = Forecasting(parts=2)


def _labels(order_lines: pl.DataFrame) -> pl.LazyFrame:
    customers = order_lines["customer_id"].drop_nulls().unique().sort()
    rows = [
        {"customer_id": name, "segment": i % 3, "segment_id": str(i % 3), "distance": 0.0}
        for i, name in enumerate(customers)
    ]
    return frame(SegmentationLabels, rows).lazy()


def test_the_parts_of_each_dimension_come_to_the_shop() -> None:
    order_lines = lines(1)
    series = revenue_series(order_lines.lazy(), _labels(order_lines), AS_OF, SETTINGS)
    sold = order_lines.filter((pl.col("status") == "completed") & (pl.col("order_date") <= AS_OF))
    assert series.names[0] == "shop"
    assert series.values[0].sum() == pytest.approx(float(sold["amount"].sum()), abs=1e-6)
    of_day = dict(sold.group_by("order_date").agg(pl.col("amount").sum()).rows())
    for dimension in ("channel", "category", "country", "segment"):
        parts = [row for row, name in enumerate(series.names) if name.startswith(f"{dimension}:")]
        assert 0 < len(parts) <= SETTINGS.parts + 1
        assert np.allclose(series.values[parts].sum(axis=0), series.values[0], atol=1e-9)
    for day, amount in of_day.items():
        assert series.values[0, (day - series.start).days] == pytest.approx(float(amount), abs=1e-9)


def test_returns_count_on_their_own_day_and_guests_count() -> None:
    def line(number: int, day: int, amount: str, **more: object) -> dict[str, object]:
        return {
            "line_no": number, "order_id": str(number), "customer_id": None, "product_id": "p", "status": "completed",
            "ordered_at": dt.datetime(2024, 2, day, 12, tzinfo=dt.UTC), "order_date": dt.date(2024, 2, day),
            "quantity": 1.0 if not amount.startswith("-") else -1.0, "unit_price": 1.0, "discount_amount": 0.0,
            "amount": Decimal(amount), **more,
        }  # fmt: skip

    rows = [line(1, 1, "10"), line(2, 3, "-4"), line(3, 3, "1", status="cancelled"), line(4, 3, "7", customer_id="c")]
    order_lines = frame(OrderLines, rows).lazy()
    series = revenue_series(order_lines, SegmentationLabels.empty().lazy(), dt.date(2024, 2, 4), SETTINGS)
    assert series.values[0].tolist() == [10.0, 0.0, 3.0, 0.0]
    assert series.names == ["shop", "category:unknown", "channel:unknown", "country:unknown", "segment:none"]
    assert unit_series(order_lines, dt.date(2024, 2, 4), SETTINGS).values.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert orders_per_day(order_lines, dt.date(2024, 2, 4)).values.tolist() == [[1.0, 0.0, 1.0, 0.0]]


def test_nothing_after_as_of_and_no_order_of_rows_matters() -> None:
    order_lines = lines(2)
    early = AS_OF - dt.timedelta(days=100)
    cut = order_lines.filter(pl.col("order_date") <= early)
    labels = _labels(order_lines)
    for made in (
        lambda rows: revenue_series(rows.lazy(), labels, early, SETTINGS),
        lambda rows: unit_series(rows.lazy(), early, SETTINGS),
    ):
        known, shuffled, all_days = made(cut), made(cut.sample(fraction=1, shuffle=True, seed=3)), made(order_lines)
        for other in (shuffled, all_days):
            assert known.names == other.names
            assert_frame_equal(known.long(), other.long(), check_exact=True)


def test_products_of_most_revenue_or_the_whole_catalogue() -> None:
    order_lines = lines(3)
    one = Forecasting.model_validate({"units": {"top_products": 1}})
    assert len(unit_series(order_lines.lazy(), AS_OF, one).names) == 1
    weekday = AS_OF.strftime("%A").lower()
    every = Forecasting.model_validate({"units": {"top_products": 1, "whole_catalogue_on": weekday}})
    assert len(unit_series(order_lines.lazy(), AS_OF, every).names) > 1


def test_costs_by_type_and_in_total() -> None:
    rows = [
        {"date": dt.date(2024, 1, day), "cost": amount, "cost_type": kind}
        for day, amount, kind in [(1, 10.0, "ads"), (1, 0.1, "rent"), (3, -5.0, "ads"), (3, 0.2, None)]
    ]
    series = cost_series(frame(Costs, rows).lazy(), dt.date(2024, 1, 4), Forecasting())
    assert series.names == ["total", "cost_type:ads", "cost_type:rent", "cost_type:unknown"]
    assert series.values.tolist() == [[10.1, 0, -4.8, 0], [10.0, 0, -5.0, 0], [0.1, 0, 0, 0], [0, 0, 0.2, 0]]
    assert cost_series(Costs.empty().lazy(), AS_OF, Forecasting()).names == []
