"""Multipliers of contents against the simulator's truth, and what holds with little or no evidence."""

from functools import cache

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lifecycle_assets.simulator.world import CONTENTS
from tests.models.message_world import Messages, messages, nba_scores
from tests.models.recovered import contents

SEEDS = range(4)


@cache
def world(seed: int, per_month: float) -> Messages:
    return messages(3_000, 240, seed, messages_per_month=per_month)


@pytest.mark.parametrize("per_month", [3.0, 12.0])
def test_intervals_cover_and_shrinkage_beats_raw_and_shared(per_month: float) -> None:
    shops = [contents(world(seed, per_month)) for seed in SEEDS]
    # The standard error over seeds is below 0.01.
    assert np.mean([shop.covered() for shop in shops]) == pytest.approx(0.9, abs=0.03)
    for shop in shops:
        assert shop.error("mean") < 0.99 * shop.error("shared")
        assert shop.error("mean") < 0.45 * shop.error("raw")


def test_what_segments_have_in_common_is_found() -> None:
    """One content twice as good in one segment, by taking away half of the answers to the others there."""
    of = world(0, 12.0)
    segments = of.segments.collect()
    low = segments.filter(pl.col("segment") == "low")["customer_id"].implode()
    kept = pl.col("message_id").str.slice(1).cast(pl.Int64) % 2 == 0
    other = pl.col("customer_id").is_in(low) & (pl.col("content_type") != "news")
    found = nba_scores(of, of.evidence.with_columns(responded=pl.col("responded") & (kept | ~other)))
    mean = (
        found.filter(pl.col("content_type").is_in(CONTENTS))
        .join(segments, on="customer_id")
        .group_by("segment", "content_type")
        .agg(pl.col("multiplier").mean())
    )
    news = dict(mean.filter(pl.col("content_type") == "news").select("segment", "multiplier").iter_rows())
    # 1 for 1/2 of the others, over their average of 5/8.
    assert news["low"] == pytest.approx(1.6, rel=0.1)
    assert news["high"] == pytest.approx(1.0, rel=0.1)


def test_a_content_that_was_never_sent_is_as_good_as_the_average_but_unsure() -> None:
    found = nba_scores(world(0, 3.0))
    unsent = found.filter(pl.col("content_type") == "winback")
    assert unsent["multiplier"].mean() == pytest.approx(1.0, abs=0.02)
    assert (unsent["borrowed"] == 1).all()
    sent = found.filter(pl.col("content_type") == "news")
    assert unsent["multiplier_sd"].to_numpy().mean() > sent["multiplier_sd"].to_numpy().mean()


def test_the_order_of_rows_makes_no_difference() -> None:
    of = world(0, 3.0)
    assert_frame_equal(nba_scores(of), nba_scores(of, of.evidence.reverse()), check_exact=True)


def test_a_shop_without_evidence_has_no_rows() -> None:
    of = world(0, 3.0)
    assert nba_scores(Messages(of.people, of.as_of, of.evidence.clear(), of.segments, of.who, of.channel)).is_empty()


def test_customers_without_evidence_have_their_segments_multipliers() -> None:
    of = world(0, 3.0)
    few = of.evidence.filter(pl.col("customer_id") < "C00000020")
    found = nba_scores(Messages(of.people, of.as_of, few, of.segments, of.who, of.channel))
    others = found.filter(pl.col("customer_id") >= "C00000020").join(of.segments.collect(), on="customer_id")
    assert others.group_by("segment", "content_type").agg(pl.col("multiplier").n_unique())["multiplier"].max() == 1
    assert (others["n_sent"] == 0).all()
    assert (others["borrowed"] == 1).all()
