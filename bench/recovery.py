"""Do the posteriors find what simulated customers truly are? Coverage of their intervals, their error beside that of raw rates
and of one rate for all, and what it earns to believe them.

Shops are drawn anew by seed; the Monte Carlo error of a figure is the standard deviation over shops divided by the root of
their number.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from bench.harness import table
from tests.models import channel_world, engagement_world, recovered, send_time_world
from tests.models.message_world import discount_posteriors, messages
from tests.models.recovered import Recovered

TITLE = "Recovery of the truth"
# Shops of 3 000 customers and eight months, of 2 000 for the hours; most of the time goes into their pasts.
MESSAGE_SHOPS, CHANNEL_SHOPS, HOUR_SHOPS = 48, 6, 12
CUSTOMERS, DAYS = 3_000, 240
MONTHLY = (4.0, 12.0)
Told = dict[str, list[Recovered]]


def section(_work: Path, sizes: Sequence[int], _memory_limit: str) -> str:
    """The section of the report; a size below a million makes as many fewer shops."""
    part = min(1.0, max(sizes) / 1_000_000)
    told: Told = {}
    profits: dict[float, list[dict[str, float]]] = {}
    for per_month in MONTHLY:
        for seed in _seeds(MESSAGE_SHOPS, part):
            of = messages(CUSTOMERS, DAYS, seed, messages_per_month=per_month)
            found = discount_posteriors(of)
            each = f", {per_month:g} messages a month"
            _note(told, f"contents{each}", recovered.contents(of))
            _note(told, f"discounts of customers{each}", recovered.discounts(of, "customer", found))
            _note(told, f"discounts of segments{each}", recovered.discounts(of, "segment", found))
            _note(told, f"fatigue{each}", recovered.fatigue(of))
            profits.setdefault(per_month, []).append(recovered.profit(of, found))
    for seed in _seeds(HOUR_SHOPS, part):
        for name, with_orders in (("hours", False), ("hours, orders told as well", True)):
            _note(told, name, recovered.hours(seed, with_orders=with_orders))
        _forget()
    answers = []
    for seed in _seeds(CHANNEL_SHOPS, part):
        for channel in ("email", "push", "sms"):
            _note(told, f"response on {channel}", recovered.channel(seed, channel))
        answers.append(channel_world.against_truth(seed))
        _forget()
    fifths = channel_world.calibration_of_the_best(pl.concat(answers))
    return "\n\n".join(
        [
            f"Simulated shops of {CUSTOMERS:,} customers (hours: 2,000) whose every customer is known. Monte Carlo errors in "
            "brackets. The interval is the 90 % one; the bias is that of the average; errors are root mean squared ones of the "
            "posterior mean, of the unit's own messages alone (raw), and of the true average of the shop (shared).",
            table(
                ["posterior", "shops", "intervals that hold the truth", "bias", "error", "raw", "shared"],
                [_row(name, shops) for name, shops in told.items()],
            ),
            "What a response truly earns at the recommended discount, over what it earns at the best one:",
            _profits(profits),
            "Channels by the probability of being the one on which a message earns most:",
            table(
                ["p_best", "mean p_best", "truly best", "rows"],
                [
                    [f"{k / 5:.1f} - {(k + 1) / 5:.1f}", f"{said:.1%}", f"{true:.1%}", f"{n:,}"]
                    for k, said, true, n in fifths.iter_rows()
                ],
            ),
        ]
    )


def _seeds(shops: int, part: float) -> range:
    """At least two."""
    return range(max(2, round(shops * part)))


def _forget() -> None:
    """Pasts fill the memory."""
    for kept in (
        engagement_world.lived,
        channel_world.against_truth,
        send_time_world.told,
        send_time_world.against_truth,
    ):
        kept.cache_clear()


def _note(told: Told, name: str, found: Recovered) -> None:
    told.setdefault(name, []).append(found)


def _row(name: str, shops: list[Recovered]) -> list[str]:
    def error(guess: str) -> str:
        return f"{np.mean([shop.error(guess) for shop in shops]):.3f}"

    bias = _mean([float(shop.mean.mean() / shop.truth.mean()) - 1 for shop in shops])
    raw = "" if shops[0].raw is None else error("raw")
    return [name, str(len(shops)), _mean([shop.covered() for shop in shops]), bias, error("mean"), raw, error("shared")]


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.1%} ({100 * np.std(values, ddof=1) / np.sqrt(len(values)):.1f})"


def _profits(profits: dict[float, list[dict[str, float]]]) -> str:
    names = list(next(iter(profits.values()))[0])
    rows = [[name, *(_mean([shop[name] for shop in shops]) for shops in profits.values())] for name in names]
    return table(["", *(f"{per_month:g} messages a month" for per_month in profits)], rows)
