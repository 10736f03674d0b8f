"""What counts as an answer, and that every message is told once."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.inputs.contracts import Customers, Engagement, OrderLines
from lifecycle_assets.models.evidence import Statistics, codes, gathered, statistics
from lifecycle_assets.models.message_evidence import (
    MessageEvidence,
    delivered,
    left_out,
    message_evidence,
    newest_day,
    whole,
)
from lifecycle_assets.settings import Shop
from tests.models.engagement_world import SHOP, Lived, lived, raw

MADRID = Shop(name="A", timezone="Europe/Madrid", currency="EUR", country="ES", input="x")
SENT = dt.datetime(2025, 3, 12, 10, tzinfo=dt.UTC)
SETTLED = dt.date(2025, 3, 15)
NO_LEDGER = Ledger.empty().lazy()


def at(**after: float) -> dt.datetime:
    return SENT + dt.timedelta(**after)


def told(
    *messages: dict[str, Any],
    lines: list[dict[str, Any]] | None = None,
    zones: dict[str, str] | None = None,
    as_of: dt.date = SETTLED,
    after: dt.date | None = None,
) -> pl.DataFrame:
    """The evidence of messages sent by e-mail and delivered at SENT, but for what is said of each."""
    usual = {"customer_id": "c", "channel": "email", "sent_at": SENT, "delivered_at": SENT}
    schema = Engagement.polars_schema
    engagement = pl.DataFrame(
        [{"message_id": f"m{i}", **usual, **message} for i, message in enumerate(messages)],
        schema={
            name: schema[name]
            for name in (
                "message_id",
                *usual,
                "clicked_at",
                "converted_at",
                "unsubscribed_at",
                "opened_at",
                "propensity",
            )
        },
    )
    ordered = {"status": "completed", "quantity": 1.0}
    columns = ("message_id", "ordered_at", *ordered)
    order_lines = pl.DataFrame(
        [{**ordered, **line} for line in lines or []], schema={name: OrderLines.polars_schema[name] for name in columns}
    )
    customers = pl.DataFrame({"customer_id": list(zones or {}), "timezone": list((zones or {}).values())})
    return message_evidence(
        raw(Engagement, engagement),
        raw(OrderLines, order_lines),
        raw(Customers, customers.cast(pl.String)),
        shop_id="a",
        as_of=as_of,
        shop=MADRID,
        after=after,
    ).collect()


def test_a_person_who_clicks_or_orders_in_time_has_responded() -> None:
    rows = told(
        {},
        {"opened_at": at(minutes=5)},
        {"clicked_at": at(minutes=5)},
        {"clicked_at": at(seconds=1)},
        {"clicked_at": at(days=3, minutes=1)},
        {"converted_at": at(days=3)},
        {"converted_at": at(days=3, minutes=1)},
        {"clicked_at": at(minutes=5), "channel": "call"},
        {"unsubscribed_at": at(minutes=5)},
        {},
        {},
        lines=[
            {"message_id": "m9", "ordered_at": at(hours=1)},
            {"message_id": "m9", "ordered_at": at(days=9)},
            {"message_id": "m10", "ordered_at": at(hours=1), "status": "cancelled"},
            {"message_id": "m10", "ordered_at": at(hours=1), "quantity": -1.0},
        ],
    ).sort(pl.col("message_id").str.slice(1).cast(int))
    assert np.flatnonzero(rows["responded"]).tolist() == [2, 5, 9]
    assert np.flatnonzero(rows["ordered"]).tolist() == [5, 9]
    assert np.flatnonzero(rows["unsubscribed"]).tolist() == [8]


def test_what_never_arrived_is_no_evidence_where_the_shop_records_deliveries() -> None:
    rows = told({}, {"delivered_at": None}, {"delivered_at": at(days=4)}, {"delivered_at": None, "channel": "sms"})
    assert rows["message_id"].to_list() == ["m0", "m3"]


def test_a_message_is_settled_when_its_days_are_over_in_the_shop() -> None:
    late = dt.datetime(2025, 3, 12, 22, 59, tzinfo=dt.UTC)  # 23:59 in Madrid
    next_day = late + dt.timedelta(minutes=1)
    messages = [{"sent_at": moment, "delivered_at": moment} for moment in (late, next_day)]
    assert told(*messages)["sent_on"].to_list() == [dt.date(2025, 3, 12)]
    assert told(*messages, as_of=SETTLED + dt.timedelta(days=1)).height == 2
    assert told(*messages, as_of=SETTLED - dt.timedelta(days=1)).height == 0


def test_hours_are_where_the_customer_lives() -> None:
    rows = told(
        {"customer_id": "new york"}, {"customer_id": "nowhere"}, {"customer_id": "unknown"},
        zones={"new york": "America/New_York", "nowhere": "Mars/Olympus"},
    )  # fmt: skip
    # A Wednesday; New York is on daylight-saving time already, Madrid is not.
    assert rows["hour_of_week"].to_list() == [48 + 6, 48 + 11, 48 + 11]


def test_messages_of_the_week_before_are_counted() -> None:
    rng = np.random.default_rng(1)
    sent = [at(hours=float(-hours)) for hours in rng.integers(0, 500, 60)]
    accounts = [f"c{i}" for i in rng.integers(0, 3, 60)]
    messages = [
        {"sent_at": moment, "delivered_at": moment, "customer_id": account}
        for moment, account in zip(sent, accounts, strict=True)
    ]
    rows = told(*messages)
    counted = {f"m{i}": sum(
        other == account and dt.timedelta(0) < moment - before <= dt.timedelta(days=7)
        for other, before in zip(accounts, sent, strict=True)
    ) for i, (account, moment) in enumerate(zip(accounts, sent, strict=True))}  # fmt: skip
    assert dict(rows.select("message_id", "messages_7d").iter_rows()) == counted
    # A later night knows of the messages before its own.
    later = told(*messages, after=dt.date(2025, 3, 5))
    assert_frame_equal(later, rows.filter(pl.col("sent_on") > dt.date(2025, 3, 5)))
    assert 0 < later.height < rows.height


def test_the_simulators_answers_are_told_as_they_were() -> None:
    shop = lived()
    rows = shop.slice()
    MessageEvidence.require(rows)
    truth = shop.engagement.select(
        "message_id",
        answered=pl.col("clicked_at").is_not_null(),
        bought=pl.col("converted_at").is_not_null(),
        left=pl.col("unsubscribed_at").is_not_null(),
        settled=pl.col("sent_at") < end_of(shop.as_of - dt.timedelta(days=3), SHOP.timezone),
    ).filter("settled")
    compared = truth.sort("message_id").collect()
    assert rows["message_id"].to_list() == compared["message_id"].to_list()
    for ours, theirs in (("responded", "answered"), ("ordered", "bought"), ("unsubscribed", "left")):
        assert rows[ours].to_list() == compared[theirs].to_list()


def of_customers(rows: pl.DataFrame, segments: pl.LazyFrame, as_of: dt.date, half_life: float) -> Statistics:
    """By e-mail."""
    evidence = gathered(rows.lazy(), segments, as_of, half_life)
    return statistics(evidence, codes(evidence.messages["channel"], ["email"]), 1)


def nights(shop: Lived, days: int) -> list[pl.DataFrame]:
    """The slices of one night after another, the first of which tells everything before."""
    slices: list[pl.DataFrame] = []
    for back in range(days, -1, -1):
        slices.append(shop.slice(shop.as_of - dt.timedelta(days=back), newest_day([part.lazy() for part in slices])))
    return slices


def test_night_by_night_is_the_same_as_all_at_once() -> None:
    shop = lived(customers=300)
    slices = nights(shop, 20)
    assert all(part.height for part in slices)
    everything = shop.slice()
    by_night = whole([part.lazy() for part in slices], NO_LEDGER).drop("as_of").sort("message_id").collect()
    assert_frame_equal(by_night, everything.drop("as_of"))
    sums = [
        of_customers(rows, shop.segments(), shop.as_of, 90.0)
        for rows in (by_night, everything, everything.sample(fraction=1, shuffle=True, seed=1))
    ]
    for name in Statistics._fields:
        assert len({getattr(found, name).tobytes() for found in sums}) == 1


def test_a_night_made_afterwards_counts_nothing_twice() -> None:
    shop = lived(customers=300)
    slices = nights(shop, 5)
    missing = shop.as_of - dt.timedelta(days=9)
    afterwards = shop.slice(missing, None)
    together = whole([*(part.lazy() for part in slices), afterwards.lazy()], NO_LEDGER).collect()
    assert together["message_id"].is_unique().all()
    assert_frame_equal(together.drop("as_of").sort("message_id"), pl.concat(slices).drop("as_of").sort("message_id"))


def test_the_order_of_the_input_does_not_matter() -> None:
    shop = lived(customers=300)
    shuffled = shop._replace(
        engagement=shop.engagement.collect().sample(fraction=1, shuffle=True, seed=3).lazy(),
        order_lines=shop.order_lines.collect().sample(fraction=1, shuffle=True, seed=4).lazy(),
    )
    assert_frame_equal(shuffled.slice(), shop.slice())


def test_messages_that_were_undone_are_no_evidence_unless_they_arrived() -> None:
    by_post = {"channel": "postal", "delivered_at": None}
    rows = told({}, {}, by_post, by_post)
    events = [("m0", "exported"), ("m1", "exported"), ("m1", "compensated"), ("m2", "exported"), ("m2", "compensated")]
    ledger = pl.DataFrame(events, schema=["idempotency_key", "event"], orient="row").lazy()
    assert set(whole([rows.lazy()], ledger).collect()["message_id"]) == {"m0", "m1", "m3"}
    # Slices of earlier releases do not say what arrived.
    silent = rows.lazy().with_columns(is_delivered=pl.lit(None, pl.Boolean))
    assert set(whole([silent], ledger).collect()["message_id"]) == {"m0", "m3"}


def test_a_message_that_comes_late_is_left_out_and_counted() -> None:
    shop = lived(customers=300)
    cut = shop.as_of - dt.timedelta(days=4)
    on_time = pl.col("message_id").hash() % 50 > 0
    before = shop._replace(engagement=shop.engagement.filter(on_time)).slice(cut)
    after = newest_day([before.lazy()])
    assert after == cut - dt.timedelta(days=3)
    tonight = shop.slice(shop.as_of, after)
    late = shop.slice(cut).height - before.height
    assert late > 0
    settled = delivered(shop.engagement, shop.order_lines, as_of=shop.as_of, shop=SHOP)
    assert left_out(settled, [before.lazy()], after) == late
    everything = whole([before.lazy(), tonight.lazy()], NO_LEDGER).select(pl.len()).collect().item()
    assert everything == shop.slice().height - late


def test_without_engagement_there_is_no_evidence() -> None:
    rows = told()
    assert rows.height == 0
    assert newest_day([rows.lazy()]) is None
    assert newest_day([]) is None
    assert whole([], NO_LEDGER).collect().schema == MessageEvidence.polars_schema
    assert left_out(MessageEvidence.empty().lazy(), [], None) == 0


@pytest.mark.parametrize("half_life", [30.0, 90.0])
def test_effective_counts_are_those_of_the_weighted_mean(half_life: float) -> None:
    """Over many simulated customers of one rate, the weighted mean varies as that of n_effective messages."""
    rng = np.random.default_rng(2)
    as_of, n = dt.date(2025, 6, 1), 20
    ages = rng.integers(0, 300, n)
    customers = 4_000
    rows = pl.DataFrame(
        {
            "message_id": [f"m{i}" for i in range(n * customers)],
            "customer_id": np.repeat(np.arange(customers), n).astype(str),
            "sent_on": [as_of - dt.timedelta(days=int(age)) for age in ages] * customers,
            "responded": rng.random(n * customers) < 0.2,
        }
    ).with_columns(channel=pl.lit("email"))
    others = (pl.lit(None).alias(name) for name in MessageEvidence.columns if name not in rows.columns)
    everyone = rows.select(pl.col("customer_id").unique(), segment=pl.lit("Gold")).lazy()
    found = of_customers(
        MessageEvidence.conform(rows.lazy().with_columns(others)).collect(), everyone, as_of, half_life
    )
    weight = 0.5 ** (ages / half_life)
    assert found.n_effective == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    share = found.x_effective / found.n_effective
    assert share.mean() == pytest.approx(0.2, abs=0.01)
    assert share.var() == pytest.approx(0.2 * 0.8 / found.n_effective[0, 0], rel=0.1)
