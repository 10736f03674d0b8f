"""Cells of evidence: what messages are worth, whose they are, and what all customers have in common."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.models.evidence import Evidence, gathered
from lifecycle_assets.models.message_evidence import MessageEvidence
from lifecycle_assets.models.response_cells import (
    Cells,
    Rates,
    cells,
    expected_rates,
    given_totals,
    grouped_by_rate,
    shared_multipliers,
)
from lifecycle_assets.models.slopes import LEVELS
from tests.models.engagement_world import raw

SENT = dt.date(2025, 1, 1)
SEGMENTS = pl.LazyFrame({"customer_id": ["a", "b", "c"], "segment": ["x", "y", "y"]})
CHANNELS = pl.LazyFrame(
    {
        "customer_id": ["a", "a", "b", "b", "c", "c"],
        "channel": ["email", "sms"] * 3,
        "alpha": [1.0, 2.0, 1.0, 1.0, 1.0, 4.0],
        "beta": [9.0, 8.0, 9.0, 3.0, 9.0, 36.0],
        "mean": [0.1, 0.2, 0.1, 0.25, 0.1, 0.1],
        "n_sent": [3, 1, 0, 2, 0, 0],
        "shop_sent": [3, 3, 3, 3, 3, 3],
        "order_rate": [0.5, 0.1, 0.5, 0.1, 0.5, 0.1],
        "borrowed": [0.5, 1.0, 1.0, 0.5, 1.0, 1.0],
    }
)


HALF_LIFE = 90


def messages(*rows: tuple[str, str, int | None, float, bool], segments: pl.LazyFrame = SEGMENTS) -> Evidence:
    """Customer, channel, cell, age in half-lives, answered or not; the load stands for the cell, 9 for none."""
    given = pl.DataFrame(list(rows), schema=["customer_id", "channel", "cell", "age", "responded"], orient="row")
    told = given.with_columns(
        messages_7d=pl.col("cell").fill_null(9),
        sent_on=pl.lit(SENT) - pl.duration(days=(pl.col("age") * HALF_LIFE).cast(pl.Int64)),
    )
    return gathered(raw(MessageEvidence, told), segments, SENT, HALF_LIFE)


def rates(channels: pl.LazyFrame = CHANNELS) -> Rates:
    found = expected_rates(channels, SEGMENTS.collect())
    assert found is not None
    return found


def cells_of(evidence: Evidence, of: Rates, size: int) -> Cells:
    cell = evidence.messages["messages_7d"].to_numpy().astype(np.int16)
    return cells(evidence, of, np.where(cell == 9, -1, cell), size)


def test_messages_are_worth_their_number_in_plain_counts() -> None:
    """Four messages of weight a half are worth four; an answer of a rate p counts for 1 / (1 - p)."""
    told = messages(*[("a", "email", 0, 1, k == 0) for k in range(4)])
    found = cells_of(told, rates(), 2)
    assert found.y.tolist() == [pytest.approx([1 / 0.9, 0])]
    assert found.expected.tolist() == [pytest.approx([0.4 / 0.9, 0])]
    assert found.n_sent.tolist() == [[4, 0]]
    # Six ordered pairs of two distinct messages, twelve in all.
    assert (found.expected**2 - found.expected_squares)[0, 0] == pytest.approx(12 * (0.1 / 0.9) ** 2)


def test_newer_messages_count_more_and_unknown_ones_not_at_all() -> None:
    told = messages(
        ("a", "email", 0, 0, True), ("a", "email", 1, 1, True), ("a", "email", None, 0, True),
        ("stranger", "email", 0, 0, True), ("b", "post", 0, 0, True), ("b", "sms", 0, 31, True),
    )  # fmt: skip
    found = cells_of(told, rates(), 2)
    assert found.who.tolist() == [0]
    worth = 1.5 / 1.25 / 0.9
    assert found.y[0] == pytest.approx([worth, worth / 2])


def test_the_order_of_rows_makes_no_difference() -> None:
    rng = np.random.default_rng(3)
    rows = [
        (who, channel, cell, age, bool(answer))
        for who, channel, cell, age, answer in zip(
            rng.choice(list("abc"), 500).tolist(),
            rng.choice(["email", "sms"], 500).tolist(),
            rng.integers(0, 3, 500).tolist(),
            rng.uniform(0, 9, 500).tolist(),
            rng.integers(0, 2, 500).tolist(),
            strict=True,
        )
    ]
    one, other = (cells_of(messages(*order), rates(), 3) for order in (rows, rows[::-1]))
    for name in Cells._fields:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_shared_multipliers_are_found_whoever_gets_the_cells() -> None:
    """Keen customers get the third cell more often; its multiplier is as low as planted all the same."""
    rng = np.random.default_rng(4)
    truth = np.array([1.5, 1.0, 0.5])
    keen = rng.uniform(0.05, 0.5, (20_000, 1))
    sent = rng.poisson(np.hstack([4 * (1 - keen), np.full_like(keen, 2.0), 10 * keen]))
    y = rng.poisson(sent * keen * truth).astype(float)
    found, _ = shared_multipliers(y[y.sum(axis=1) > 0], (sent * 0.2 + 1e-9)[y.sum(axis=1) > 0])
    assert found / found[1] == pytest.approx(truth, rel=0.06)
    hoped = given_totals(y, sent + 1e-9, truth)
    assert hoped.sum(axis=1) == pytest.approx(y.sum(axis=1))


def test_cells_are_drawn_together_by_k_and_an_empty_one_is_usual() -> None:
    y, expected = np.array([[6.0, 2.0, 0.0]]), np.array([[1.0, 1.0, 0.0]])
    free, _ = shared_multipliers(y, expected)
    assert free == pytest.approx([1.5, 0.5, 1.0])
    held, _ = shared_multipliers(y, expected, k=4.0)
    assert held == pytest.approx([1.25, 0.75, 1.0])
    assert shared_multipliers(np.zeros((0, 2)), np.zeros((0, 2)))[0].tolist() == [1, 1]


def test_expected_rates_are_over_the_channels_of_ones_own() -> None:
    found = rates(CHANNELS.reverse())
    # a: three mails and one text; b: texts alone; c was never written to.
    assert found.rate.tolist() == pytest.approx([0.125, 0.25, 0.1])
    assert found.order_rate.tolist() == pytest.approx([(0.75 * 0.1 * 0.5 + 0.25 * 0.2 * 0.1) / 0.125, 0.1, 0.3])
    assert found.rate_cv[1] == pytest.approx(np.sqrt(0.25 * 0.75 / 5) / 0.25)
    assert found.borrowed.tolist() == pytest.approx([0.625, 0.5, 1.0])


def test_groups_are_of_one_segment_and_of_similar_rates() -> None:
    many = [f"c{n:02d}" for n in range(30)]
    segments = pl.LazyFrame({"customer_id": many, "segment": ["x", "y"] * 15})
    told = messages(*[(name, "email", 0, 0, True) for name in many[:10]], segments=segments)
    rate, unused = np.arange(30) / 100, np.zeros(30)
    of = Rates(["email"], np.full((30, 1), 0.1), rate, unused, unused, unused)
    who = cells_of(told, of, 1).who
    assert who.tolist() == list(range(10))
    assert told.segments.to_list() == ["x", "y"]
    group = grouped_by_rate(told, of, who)
    assert (group // LEVELS).tolist() == [0, 1] * 15
    level = (group % LEVELS).tolist()
    assert level == sorted(level)
    assert [level[:10].count(part) for part in range(LEVELS)] == [2] * LEVELS
