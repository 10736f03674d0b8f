"""Fatigue against the simulator's truth, and what holds with little or no evidence."""

from functools import cache

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lifecycle_assets.settings.routing import Cap, Contact
from tests.models.message_world import SETTINGS, Messages, cadence_posteriors, messages
from tests.models.recovered import fatigue

SEEDS = range(6)


@cache
def world(seed: int, per_month: float) -> Messages:
    return messages(3_000, 240, seed, messages_per_month=per_month)


@pytest.mark.parametrize(("per_month", "off", "worse"), [(4.0, 0.2, 1.1), (12.0, 0.1, 1.02)])
def test_intervals_cover_the_customers_own_fatigue(per_month: float, off: float, worse: float) -> None:
    shops = [fatigue(world(seed, per_month)) for seed in SEEDS]
    # The standard error over seeds is about 0.01.
    assert np.mean([shop.covered() for shop in shops]) == pytest.approx(0.9, abs=0.04)
    assert np.mean([shop.mean.mean() for shop in shops]) == pytest.approx(0.1, rel=off)
    # A few responses tell next to nothing of a customer's fatigue, and next to nothing more is read out of them.
    assert np.mean([shop.error("mean") / shop.error("shared") for shop in shops]) < worse


def test_keen_customers_who_get_more_messages_do_not_hide_the_fatigue() -> None:
    """Of customers who respond seldom, only messages of rested days are kept."""
    of = world(0, 12.0)
    keen = of.people.rates.mean(axis=1) > np.median(of.people.rates.mean(axis=1))
    names = of.segments.collect()["customer_id"].filter(pl.Series(keen)).implode()
    kept = of.evidence.filter(pl.col("customer_id").is_in(names) | (pl.col("messages_7d") <= 2))
    assert cadence_posteriors(of, kept)["fatigue"].mean() == pytest.approx(0.1, rel=0.25)


def test_the_cap_is_where_half_the_response_is_left() -> None:
    of = world(0, 12.0)
    wide = SETTINGS.routing.model_copy(update={"contact": Contact(cap=Cap(messages=20, days=7))})
    found = cadence_posteriors(of, routing=wide)
    left = found.with_columns(
        at=(-pl.col("fatigue") * pl.col("weekly_cap")).exp(),
        beyond=(-pl.col("fatigue") * (pl.col("weekly_cap") + 1)).exp(),
    )
    assert left.filter(pl.col("weekly_cap") > 1)["at"].to_numpy().min() >= 0.5 - 1e-9
    assert left.filter(pl.col("weekly_cap") < 7)["beyond"].to_numpy().max() < 0.5
    assert found["weekly_cap"].n_unique() > 3
    assert (cadence_posteriors(of)["weekly_cap"] <= SETTINGS.routing.contact.cap.messages).all()


def test_customers_without_evidence_have_their_segments_fatigue() -> None:
    of = world(0, 12.0)
    found = cadence_posteriors(of, of.evidence.filter(pl.col("customer_id") >= "C00000010"))
    new = found.filter(pl.col("customer_id") < "C00000010")
    assert (new["n_sent"] == 0).all()
    assert new["borrowed"].to_numpy() == pytest.approx(1)
    assert found["borrowed"].to_numpy().mean() < 0.95


def test_the_order_of_rows_makes_no_difference() -> None:
    of = world(0, 4.0)
    assert_frame_equal(cadence_posteriors(of), cadence_posteriors(of, of.evidence.reverse()), check_exact=True)


def test_a_shop_without_evidence_has_no_rows() -> None:
    of = world(0, 4.0)
    assert cadence_posteriors(
        Messages(of.people, of.as_of, of.evidence.clear(), of.segments, of.who, of.channel)
    ).is_empty()


def test_how_the_load_makes_customers_leave_is_found() -> None:
    """In the simulator the rate of leaving rises by as much as it is with each message of the last week."""
    found = [cadence_posteriors(world(seed, 12.0))["unsubscribe_growth"].first() for seed in SEEDS]
    # About 2 400 leave a shop: one standard error of the mean over shops is a few percent of the growth.
    assert np.mean(found) == pytest.approx(1.0, abs=0.15)
    of = world(0, 12.0)
    assert cadence_posteriors(of, of.evidence.with_columns(unsubscribed=False))[
        "unsubscribe_growth"
    ].unique().to_list() == [0]


def test_the_load_at_which_the_response_holds_is_the_customers_as_far_as_the_response_is() -> None:
    of = world(0, 12.0)
    found = cadence_posteriors(of)
    sent = of.evidence.select(pl.col("messages_7d").clip(0, 14)).collect()["messages_7d"]
    assert found["shop_load"].unique().to_list() == pytest.approx([sent.mean()], rel=1e-3)
    own = of.evidence.group_by("customer_id").agg(pl.col("messages_7d").clip(0, 14).mean()).collect()
    both = found.join(own, on="customer_id")
    # The own mean counts messages by how often their channels are responded to.
    low = pl.min_horizontal("shop_load", "messages_7d") - 0.2
    assert (
        both.select(
            pl.col("typical_load").is_between(low, pl.max_horizontal("shop_load", "messages_7d") + 0.2).mean()
        ).item()
        > 0.95
    )
