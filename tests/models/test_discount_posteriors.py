"""Discount curves against the simulator's truth: coverage, monotony, the recommended tier, confounded logs."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lifecycle_assets.simulator.day import Sends, State, policy
from lifecycle_assets.simulator.people import People
from lifecycle_assets.simulator.world import TIERS, World
from tests.models.message_world import (
    MARGIN,
    SETTINGS,
    TICKET,
    Messages,
    channel_posteriors,
    discount_posteriors,
    messages,
)
from tests.models.recovered import curves, discounts, matrix, of_segments, profit

SEEDS = range(6)
MANY_SEEDS = range(20)


@cache
def world(seed: int, per_month: float) -> Messages:
    return messages(3_000, 240, seed, messages_per_month=per_month)


@cache
def posteriors(seed: int, per_month: float) -> pl.DataFrame:
    return discount_posteriors(world(seed, per_month))


def of_level(found: pl.DataFrame, level: str) -> pl.DataFrame:
    return found.filter(pl.col("level") == level)


def test_rows_are_sorted_and_each_unit_has_one_recommended_tier() -> None:
    found = posteriors(0, 4.0)
    assert_frame_equal(found, found.sort("level", "unit", "tier"))
    recommended = found.group_by("level", "unit").agg(pl.col("is_recommended").sum())["is_recommended"]
    assert (recommended == 1).all()


@pytest.mark.parametrize("per_month", [4.0, 12.0])
def test_customers_intervals_cover_and_shrinkage_beats_raw_and_shared(per_month: float) -> None:
    shops = [discounts(world(seed, per_month), "customer", posteriors(seed, per_month)) for seed in SEEDS]
    # Customers of one shop share what is not known of it: the standard error over seeds is about 0.01.
    assert np.mean([shop.covered() for shop in shops]) == pytest.approx(0.9, abs=0.03)
    for shop in shops:
        assert shop.error("mean") < 0.95 * shop.error("shared")
        assert shop.error("mean") < 0.2 * shop.error("raw")


@pytest.mark.slow
def test_segments_intervals_cover_the_mean_of_their_customers() -> None:
    """The three curves of a shop are found well or badly together: the standard error over seeds is about 0.02."""
    covered, error = [], []
    for seed in MANY_SEEDS:
        of = messages(3_000, 240, seed, messages_per_month=12.0)
        shop = discounts(of, "segment", discount_posteriors(of))
        covered.append(shop.covered())
        error.append(np.log(shop.mean / shop.truth))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.05)
    # No tier of any segment is over- or underrated: the standard error is below 0.01.
    assert np.abs(np.mean(error, axis=0)).max() < 0.03


def test_the_recommended_tier_is_nearly_the_best() -> None:
    earned = [profit(world(seed, 12.0), posteriors(seed, 12.0)) for seed in SEEDS]
    mean = {name: np.mean([shop[name] for shop in earned]) for name in earned[0]}
    assert mean["segments"] > 0.97
    # The standard error of the differences is below 0.003.
    assert mean["customers"] > mean["customers at their segment's"] + 0.005
    assert mean["customers"] > mean["customers at the shop's best"] + 0.01


def test_customers_of_whom_little_is_known_are_recommended_what_their_segment_is() -> None:
    of = world(0, 12.0)
    found = discount_posteriors(of, of.evidence.filter(pl.int_range(pl.len()).over("customer_id") == 0))
    tiers = found.filter("is_recommended").select("level", "unit", "tier")
    segment = tiers.filter(pl.col("level") == "segment").select(segment="unit", usual="tier")
    own = tiers.filter(pl.col("level") == "customer").join(
        of.segments.collect(), left_on="unit", right_on="customer_id"
    )
    same = own.join(segment, on="segment").select(pl.col("tier") == pl.col("usual")).to_series()
    assert same.to_numpy().mean() > 0.9


def test_a_lift_is_relative_to_the_messages_as_they_were_sent() -> None:
    """Where nearly all messages had the largest discount, the channels' rates are those at the largest discount."""
    of = world(0, 12.0)
    largest = pl.col("discount_pct") == TIERS[-1]
    sent = replace(of, evidence=of.evidence.filter(largest | (pl.col("message_id").str.ends_with("7"))))
    found = of_level(discount_posteriors(sent), "segment")
    share = sent.evidence.select(largest.mean()).collect().item()
    for lift, multiplier in zip(matrix(found, "lift"), matrix(found, "multiplier"), strict=True):
        assert lift / lift[0] == pytest.approx(multiplier / multiplier[0])
        # The others were sent as often each.
        assert share * lift[-1] + (1 - share) * lift[:-1].mean() == pytest.approx(1, abs=0.02)
        assert lift[-1] < multiplier[-1] - 0.1


def test_the_profit_is_the_chance_of_an_order_times_what_it_leaves() -> None:
    of = world(0, 4.0)
    found = discount_posteriors(of)
    order_rate = channel_posteriors(of, SETTINGS).select(pl.col("order_rate").mean()).collect().item()
    per_response = found["expected_profit"] / found["mean"] / (TICKET * (MARGIN - found["tier"] / 100))
    assert per_response.to_numpy() == pytest.approx(order_rate, rel=0.5)
    # Where an order leaves less than the smallest discount, none is given.
    poor = discount_posteriors(of, margin=0.04)
    assert poor.filter("is_recommended")["tier"].unique().to_list() == [0.0]
    # Where it leaves nearly all, the largest pays for those whose answers rise with it.
    rich = of_level(discount_posteriors(world(0, 12.0), margin=0.99), "segment")
    assert rich.filter(pl.col("unit") == "low", "is_recommended")["tier"].item() >= 20


@given(seed=st.integers(0, 10_000), answers=st.floats(0, 1), tiers=st.sets(st.integers(0, 60), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_the_response_never_falls_with_the_discount(seed: int, answers: float, tiers: set[int]) -> None:
    """Whatever the answers were, even where they fell."""
    of = world(0, 4.0)
    rng = np.random.default_rng(seed)
    told = of.evidence.filter(pl.col("customer_id") < "C00000100").collect()
    chance = answers * np.exp(-rng.uniform(-2, 4) * told["discount_pct"].to_numpy() / 25)
    told = told.with_columns(responded=pl.Series(rng.random(told.height) < chance))
    found = discount_posteriors(of, told.lazy(), discount_tiers=tuple(sorted(tiers)))
    steps = found.select(pl.col("multiplier", "mean").diff().over("level", "unit")).drop_nulls()
    # Of equal numbers up to rounding.
    assert (steps.to_numpy() >= -1e-12).all()
    average = found.group_by("level", "unit").agg(pl.col("multiplier").mean())["multiplier"].to_numpy()
    assert average == pytest.approx(1)


def large_discounts_for_hard_cases(
    world: World, people: People, state: State, day: int, rng: np.random.Generator
) -> Sends:
    """At hours at which the customer seldom answers, large discounts are drawn far more often; that is logged."""
    drawn = policy(world, people, state, day, rng)
    hard = people.by_hour(drawn.who, drawn.hour) < 0.8
    tier = np.arange(len(TIERS))
    chances = np.where(hard[:, None], 1.35**tier, 1.35 ** -tier.astype(float))
    chances /= chances.sum(axis=1, keepdims=True)
    chosen = (rng.random(hard.size)[:, None] > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1)
    logged = drawn.propensity * len(TIERS) * chances[np.arange(hard.size), chosen]
    return Sends(drawn.who, drawn.channel, drawn.hour, np.asarray(TIERS)[chosen], drawn.content, logged)


@pytest.mark.slow
def test_logged_probabilities_undo_the_confounding() -> None:
    bias: dict[str, list[np.ndarray]] = {"logged": [], "observational": []}
    for seed in range(3):
        of = messages(3_000, 240, seed, large_discounts_for_hard_cases, messages_per_month=12.0)
        truth = of_segments(of, curves(of))
        for basis, told in (
            ("logged", of.evidence),
            ("observational", of.evidence.with_columns(propensity=pl.lit(None, pl.Float64))),
        ):
            found = of_level(discount_posteriors(of, told), "segment")
            assert found["basis"].unique().to_list() == [basis]
            bias[basis].append(matrix(found, "multiplier")[:, -1] / truth[:, -1] - 1)
    # Weights that differ so much within a customer leave a few percent.
    assert np.abs(np.mean(bias["logged"])) < 0.06
    assert np.mean(bias["observational"]) < -0.15


def test_without_known_tiers_segments_have_the_prior() -> None:
    of = world(0, 4.0)
    found = discount_posteriors(of, of.evidence.with_columns(discount_pct=pl.lit(None, pl.Float64)))
    assert found["level"].unique().to_list() == ["segment"]
    assert found["basis"].unique().to_list() == ["prior"]
    assert found["borrowed"].to_numpy() == pytest.approx(1)
    assert (found["n_sent"] == 0).all()


def test_a_shop_without_evidence_has_no_rows() -> None:
    of = world(0, 4.0)
    assert discount_posteriors(
        Messages(of.people, of.as_of, of.evidence.clear(), of.segments, of.who, of.channel)
    ).is_empty()


def test_messages_belong_to_the_nearest_tier_in_any_order() -> None:
    of = world(0, 4.0)
    nudged = of.evidence.with_columns(pl.col("discount_pct") + 2).reverse()
    assert_frame_equal(discount_posteriors(of), discount_posteriors(of, nudged), check_exact=True)
