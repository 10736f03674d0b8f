"""Send times on simulated customers whose true hours are known, and on planted ones."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.inputs.contracts import Customers, OrderLines
from lifecycle_assets.models import hour_curves
from lifecycle_assets.models.message_evidence import MessageEvidence
from lifecycle_assets.models.send_time_posteriors import SendTimePosteriors, order_hours, send_time_posteriors
from lifecycle_assets.models.week_curve import week_curve
from lifecycle_assets.settings import Routing
from tests.models.engagement_world import lived, raw
from tests.models.send_time_world import (
    HOURS,
    NO_ORDERS,
    Told,
    against_truth,
    chances,
    curves_of,
    rates,
    told,
    true_multipliers,
)

AS_OF = dt.date(2025, 6, 29)
DEFAULT = 10
SEEDS = (1, 2, 3)
# The simulator's own send hours are open.
ROUTING = Routing.model_validate({"channels": {"email": {"send_hour": DEFAULT, "quiet_hours": [22, 8]}}})


def posteriors(told: Told, routing: Routing = ROUTING, as_of: dt.date = AS_OF) -> pl.DataFrame:
    found = send_time_posteriors(*told.gathered(as_of), told.orders, shop_id="sim", as_of=as_of, routing=routing)
    SendTimePosteriors.require(found)
    return found


@pytest.mark.parametrize("with_orders", [False, True])
def test_intervals_hold_the_true_multipliers(with_orders: bool) -> None:
    """Of the true multipliers of the 14 send hours, over 3 shops of 2 000 customers, 0.87 to 0.92 by shop: as much so for the
    quarter with the fewest messages as for that with the most."""
    shops = [against_truth(seed, with_orders=with_orders) for seed in SEEDS]
    inside = np.concatenate([(t.lo <= t.true) & (t.true <= t.hi) for t in shops])
    messages = np.concatenate([t.messages for t in shops])
    assert inside.mean() == pytest.approx(0.90, abs=0.03)
    for few in (messages <= np.quantile(messages, 0.25), messages >= np.quantile(messages, 0.75)):
        assert inside[few].mean() == pytest.approx(0.90, abs=0.03)


@pytest.mark.parametrize("with_orders", [False, True])
def test_shrinkage_beats_raw_and_shared_curves(with_orders: bool) -> None:
    for seed in SEEDS:
        t = against_truth(seed, with_orders=with_orders)
        shared = np.broadcast_to(t.true.mean(axis=0), t.true.shape)
        ours, one_curve, raw_rates = (((guess - t.true) ** 2).mean() for guess in (t.mean, shared, t.raw))
        assert ours < 0.8 * one_curve
        assert ours < 0.1 * raw_rates


def test_hours_of_orders_help() -> None:
    """They halve the error in the simulator, whose customers order around the hour at which they respond."""
    for seed in SEEDS:
        without, with_them = (against_truth(seed, with_orders=orders) for orders in (False, True))
        error, better = (((t.mean - t.true) ** 2).mean() for t in (without, with_them))
        assert better < 0.6 * error


@pytest.mark.parametrize(("with_orders", "past"), [(False, {}), (True, {}), (True, {"messages_per_month": 1.0})])
def test_the_best_hour_raises_the_response_as_much_as_it_says(with_orders: bool, past: dict[str, float]) -> None:
    """The winner's curse: the lift of an hour chosen as the best would be overstated without shrinkage. Where messages are few,
    0.4 responses a customer, they alone do not show how far customers differ: lifts would be understated, and a third of the
    true ones above the interval."""
    lifts, inside = [], []
    for seed in SEEDS:
        known, shop = told(seed, **past), lived(2_000, seed=seed, **past)
        found = posteriors(known if with_orders else known._replace(orders=NO_ORDERS), as_of=shop.as_of)
        true = true_multipliers(shop)
        best = np.take_along_axis(true, found["best_hour"].to_numpy()[:, None] - HOURS[0], axis=1)[:, 0]
        default = true[:, DEFAULT - HOURS[0]]
        one_hour = true[:, found["best_hour"].value_counts(sort=True)["best_hour"][0] - HOURS[0]]
        lifts.append([best.mean(), default.mean(), one_hour.mean(), (found["best_lift"].to_numpy() * default).mean()])
        chosen = found["best_hour"].to_numpy() != DEFAULT
        held = found["best_lift_lo"].to_numpy() <= best / default, best / default <= found["best_lift_hi"].to_numpy()
        inside.append((held[0] & held[1])[chosen].mean())
    best, default, one_hour, said = np.mean(lifts, axis=0)
    assert best > 1.3 * default
    assert best > 1.2 * one_hour
    assert said == pytest.approx(best, rel=0.10)
    assert np.mean(inside) == pytest.approx(0.90, abs=0.04)


def test_the_table_is_what_the_posterior_says() -> None:
    shop, known = lived(2_000, seed=1), told(1)
    curves = curves_of(known, shop)
    chance = chances(curves)
    usual = curves.usual.reshape(7, 24)[shop.as_of.isoweekday() % 7, HOURS]
    expected = chance @ curves.relative[HOURS].T * usual
    found = posteriors(known, as_of=shop.as_of)
    order = np.argsort(-expected, axis=1)
    for place, name in enumerate(("best", "second", "third")):
        assert (found[f"{name}_hour"].to_numpy() == HOURS[order[:, place]]).mean() > 0.999
    assert found["best_lift"].to_numpy() == pytest.approx(expected.max(axis=1) / expected[:, DEFAULT - HOURS[0]])
    assert found["n_sent"].sum() == known.evidence.select(pl.len()).collect().item()
    assert found["n_response"].sum() == known.evidence.select(pl.col("responded").sum()).collect().item()
    borrowed = found.with_columns(is_new=pl.col("n_sent") < 3).group_by("is_new").agg(pl.col("borrowed").mean())
    assert borrowed.filter("is_new")["borrowed"].item() > borrowed.filter(~pl.col("is_new"))["borrowed"].item()


def messages(rows: list[tuple[str, int, bool]], day: dt.date = AS_OF - dt.timedelta(days=10)) -> pl.LazyFrame:
    """Messages by email: customer, hour of the week, whether they responded."""
    frame = pl.DataFrame(rows, schema=["customer_id", "hour_of_week", "responded"], orient="row")
    return raw(MessageEvidence, frame.with_columns(channel=pl.lit("email"), sent_on=pl.lit(day)))


def planted(evidence: pl.LazyFrame, orders: pl.LazyFrame = NO_ORDERS) -> Told:
    segments = evidence.select("customer_id", segment=pl.lit("Gold")).unique().sort("customer_id")
    return Told(evidence, rates(evidence, segments), segments, orders)


def people_of_two_kinds() -> pl.LazyFrame:
    """Half respond at nine in the morning and on weekdays, half at eight in the evening and on weekends."""
    rng = np.random.default_rng(4)
    rows = []
    for number in range(200):
        late = number % 2 == 1
        for hour in rng.choice(168, 60):
            gap = abs(hour % 24 - (20 if late else 9))
            chance = 0.5 * np.exp(-gap / 3) * (1.0 if (hour >= 120) == late else 0.3)
            rows.append((f"C{number:03}", int(hour), bool(rng.random() < chance)))
    return messages(rows)


def test_each_kind_has_its_own_hours_and_windows() -> None:
    found = posteriors(planted(people_of_two_kinds()))
    late = found["customer_id"].str.slice(1).cast(pl.Int64) % 2 == 1
    early_hours, late_hours = found.filter(~late), found.filter(late)
    assert early_hours["best_hour"].is_between(8, 11).to_numpy().mean() > 0.9
    assert late_hours["best_hour"].is_between(18, 21).to_numpy().mean() > 0.9
    # The first window is on a day of their kind at their hours.
    first = (
        found["windows"].str.extract(r"^(\w+) (\d\d)", 1),
        found["windows"].str.extract(r"^(\w+) (\d\d)", 2).cast(int),
    )
    weekend = first[0].is_in(["Sat", "Sun"])
    assert (weekend == late).to_numpy().mean() > 0.9
    assert ((first[1] >= 17) == late).to_numpy().mean() > 0.9


def test_windows_do_not_overlap_and_lie_in_open_hours() -> None:
    routing = Routing.model_validate({"channels": {"email": {"quiet_hours": [19, 9]}, "sms": {"enabled": True}}})
    found = posteriors(planted(people_of_two_kinds()), routing)
    for channel, begin, end in (("email", 9, 19), ("sms", 9, 20)):
        rows = found.filter(channel=channel)
        windows = rows.select("customer_id", window=pl.col("windows").str.split("; ")).explode("window")
        parts = windows.with_columns(
            day=pl.col("window").str.slice(0, 3),
            start=pl.col("window").str.slice(4, 2).cast(pl.Int64),
            end=pl.col("window").str.slice(10, 2).cast(pl.Int64),
        )
        assert (parts["end"] - parts["start"] == 2).all()
        assert (parts["start"] >= begin).all()
        assert (parts["end"] <= end).all()
        gap = parts.sort("customer_id", "day", "start").select(pl.col("start").diff().over("customer_id", "day"))
        assert (gap.to_series().drop_nulls() >= 2).all()
        hours = rows.select("best_hour", "second_hour", "third_hour")
        assert (hours.min_horizontal() >= begin).all()
        assert (hours.max_horizontal() < end).all()


@pytest.mark.parametrize(
    ("channel", "hours", "windows"),
    [
        ({}, (10, 11, 9), "Mon 10:00-12:00; Tue 10:00-12:00; Wed 10:00-12:00"),
        ({"send_hour": 7}, (8, 9, 10), "Mon 08:00-10:00; Tue 08:00-10:00; Wed 08:00-10:00"),
        ({"send_hour": 0, "quiet_hours": None}, (0, 1, 23), "Mon 00:00-02:00; Tue 00:00-02:00; Wed 00:00-02:00"),
        ({"quiet_hours": [11, 10]}, (10, None, None), "Mon 10:00-11:00; Tue 10:00-11:00; Wed 10:00-11:00"),
    ],
)
def test_without_evidence_the_default_hour_is_as_good_as_any(channel: dict, hours: tuple, windows: str) -> None:
    """The default of quiet hours is their end; as_of is a Sunday."""
    everyone = pl.LazyFrame({"customer_id": ["a", "b"], "segment": ["Gold", None]})
    nothing = messages([("x", 0, False)]).filter(pl.lit(value=False))
    routing = Routing.model_validate({"channels": {"email": channel}})
    row = posteriors(Told(nothing, rates(nothing, everyone), everyone, NO_ORDERS), routing).row(1, named=True)
    assert (row["best_hour"], row["second_hour"], row["third_hour"]) == hours
    assert (row["best_lift"], row["best_lift_lo"], row["best_lift_hi"]) == (1, 1, 1)
    assert row["second_lift"] == (None if hours[1] is None else pytest.approx(1))
    assert row["windows"] == windows
    assert (row["n_sent"], row["n_response"], row["borrowed"]) == (0, 0, pytest.approx(1))


def test_one_hour_tried_says_nothing_of_the_others() -> None:
    rng = np.random.default_rng(1)
    rows = [(f"C{n:03}", 24 * int(day) + 14, bool(rng.random() < 0.2)) for n in range(300) for day in rng.choice(7, 20)]
    found = posteriors(planted(messages(rows)))
    assert found["borrowed"].min() == pytest.approx(1)
    assert (found["best_lift_lo"] <= 1).all()


def test_customers_without_messages_have_their_segments_hours() -> None:
    known = planted(people_of_two_kinds())
    late = pl.when(pl.col("customer_id").str.slice(1).cast(pl.Int64) % 2 == 1).then(pl.lit("late"))
    segments = known.segments.with_columns(segment=late.otherwise(pl.lit("early")))
    new = pl.LazyFrame({"customer_id": ["new 1", "new 2"], "segment": ["early", "late"]})
    found = posteriors(known._replace(segments=pl.concat([segments, new]))).filter(n_sent=0)
    early_hour, late_hour = found["best_hour"]
    assert early_hour <= 11
    assert late_hour >= 18


def test_the_order_of_rows_does_not_matter_and_later_ones_do_not_count() -> None:
    known = told(1)
    as_of = lived(2_000, seed=1).as_of
    found = posteriors(known, as_of=as_of)
    shuffled = Told(*(frame.collect().sample(fraction=1, shuffle=True, seed=3).lazy() for frame in known))
    assert posteriors(shuffled, as_of=as_of).equals(found)
    tomorrow = known.evidence.with_columns(sent_on=pl.lit(as_of + dt.timedelta(days=1)), responded=pl.lit(value=True))
    ordered = known.orders.with_columns(ordered_on=pl.lit(as_of + dt.timedelta(days=1)), hour=pl.lit(3, pl.Int64))
    later = Told(
        pl.concat([known.evidence, tomorrow]), known.channels, known.segments, pl.concat([known.orders, ordered])
    )
    assert posteriors(later, as_of=as_of).equals(found)


def test_orders_that_have_dates_alone_weigh_nothing() -> None:
    known = told(1)
    as_of = lived(2_000, seed=1).as_of
    at_midnight = known.orders.with_columns(hour=pl.lit(0, pl.Int64))
    without = posteriors(known._replace(orders=NO_ORDERS), as_of=as_of)
    assert posteriors(known._replace(orders=at_midnight), as_of=as_of).equals(without)


def test_order_hours_are_local_and_those_of_orders_of_their_own() -> None:
    at = dt.datetime(2025, 6, 29, 1, 30, tzinfo=dt.UTC)
    lines = raw(
        OrderLines,
        pl.DataFrame(
            {
                "line_no": range(1, 8),
                "order_id": ["1", "1", "2", "3", "4", "5", "6"],
                "customer_id": ["a", "a", "b", "a", "a", None, "c"],
                "ordered_at": [at, at + dt.timedelta(hours=3), at, at, at, at, at + dt.timedelta(days=5)],
                "quantity": [1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0],
                "status": ["completed"] * 7,
                "message_id": [None, None, None, "m", None, None, None],
            }
        ),
    )
    customers = raw(Customers, pl.DataFrame({"customer_id": ["a", "b"], "timezone": ["Europe/Madrid", None]}))
    found = order_hours(lines, customers, as_of=AS_OF, timezone="America/New_York").sort("customer_id").collect()
    assert found.rows() == [("a", dt.date(2025, 6, 28), 3), ("b", dt.date(2025, 6, 28), 21)]


def test_the_weeks_curve_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(2)
    hour = np.arange(168)
    curve = np.exp(0.5 * np.cos(2 * np.pi * (hour % 24 - 19) / 24)) * np.where(hour >= 120, 1.3, 1.0)
    exposure = np.where((hour % 24 >= 8) & (hour % 24 < 22), 60.0, 0.0)
    tried = exposure > 0
    found = week_curve(rng.poisson(exposure * curve).astype(float), exposure)
    true = curve / (exposure @ curve) * exposure.sum()
    raw_error = 1 / 60
    assert ((found - true)[tried] ** 2).mean() < 0.5 * raw_error
    flat = week_curve(rng.poisson(exposure).astype(float), exposure)
    assert np.abs(flat - 1)[tried].max() < 0.15


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 200)), min_size=168, max_size=168))
def test_the_weeks_curve_is_positive_and_1_on_average(cells: list[tuple[int, float]]) -> None:
    responses, exposure = np.array(cells, dtype=float).T
    curve = week_curve(np.where(exposure > 0, responses, 0.0), exposure)
    assert np.isfinite(curve).all()
    assert (curve >= 0).all()
    if exposure.any() and curve.any():
        assert exposure @ curve == pytest.approx(exposure.sum())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=24, max_size=24), st.floats(0.01, 100))
def test_how_often_a_customer_responds_does_not_matter(responses: list[int], level: float) -> None:
    curves, _ = hour_curves.daily()
    exposure = np.linspace(0.5, 2, 24)[None]
    told = np.array([responses], dtype=float)
    ours = hour_curves.log_likelihoods(told, exposure, curves)
    assert hour_curves.log_likelihoods(told, level * exposure, curves) == pytest.approx(ours, abs=1e-8)
    assert ours.max() == 0
