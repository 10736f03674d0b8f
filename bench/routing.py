"""Does the routing earn more, and does it learn? Thirty nights of simulated shops under it and under rivals, judged by the
simulator's truth."""

import datetime as dt
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bench.harness import measure, table

TITLE = "Closed loop"
CUSTOMERS, NIGHTS, PAST_DAYS = 10_000, 30, 400
OURS = "this project"
FIFTHS = 5


class Scenario(NamedTuple):
    """Shops, one per seed: words; the past's random messages a month; what a customer who leaves a channel costs, the margin of
    an order where that is None."""

    words: str
    messages_per_month: float
    unsubscribed: float | None
    seeds: tuple[int, ...]


SCENARIOS = {
    "A shop to which messages are dear": Scenario(
        "Customers had a message every four months, and one who leaves a channel costs the margin of an order.",
        0.25,
        None,
        (1, 2),
    ),
    "A shop that begins to write": Scenario(
        "Nobody was ever written to, and nothing is lost when a customer leaves a channel: the shop writes about as often as "
        "the contact rules let it, and has everything to learn.",
        0.0,
        0.0,
        (1,),
    ),
}


class Figure(NamedTuple):
    """A ratio of sums over rows of routing_judge.judged: words, numerator and denominator (a null leaves the row out)."""

    words: str
    above: pl.Expr
    below: pl.Expr


_JUDGED = pl.col("best_choice").is_not_null()
BY_THIRD = {
    "regret": Figure(
        "Regret a night, per customer who may be written to: what an oracle that knows the truth would have earned with the "
        "same customers in the same state, less the policy's worth.",
        pl.col("oracle") - pl.col("worth").fill_null(0.0),
        pl.lit(1.0),
    ),
    "choice_regret": Figure(
        "Regret of the choice: of those who are sent something, were they all persuadable, the worth of the best message to "
        "each less that of the one sent; as a share of the best message's, since tiredness lowers both.",
        pl.col("best_choice") - pl.col("choice"),
        pl.col("best_choice"),
    ),
    "reached": Figure(
        "The share of the best message's clicks that the one sent is expected to get.",
        pl.col("clicks"),
        pl.col("best_clicks"),
    ),
}
# Of this project alone.
PARTS = {part: Figure(part, pl.when(_JUDGED).then(part), _JUDGED) for part in ("channel", "hour", "tier", "content")}
CALIBRATION = {
    name: Figure(words, pl.when(pl.col("expected").is_not_null()).then(above), pl.col("expected").is_not_null())
    for name, words, above in (
        ("expected", "expected value", pl.col("expected")),
        ("spared", "worth, were no dogs driven away", pl.col("worth") + pl.col("driven_away")),
        ("earned", "worth", pl.col("worth")),
    )
}


def section(_work: Path, _sizes: Sequence[int], _memory_limit: str) -> str:
    """Markdown: what each policy is worth, and what it learns."""
    return "\n\n".join(
        [
            f"{NIGHTS} nights of simulated shops of {CUSTOMERS:,} customers with {PAST_DAYS} days of past: about "
            "fifteen minutes of a quiet machine with two cores. Expected margin by the truth (docs/simulator.md), in the "
            "shop's currency per customer; silence is worth 0. Intervals are of 95 %, over customers; differences are paired "
            "by customer. The same contact rules bind all.",
            *(scenario(name) for name in SCENARIOS),
        ]
    )


def scenario(name: str, customers: int = CUSTOMERS, nights: int = NIGHTS) -> str:
    """Markdown of one scenario."""
    words, *_, seeds = SCENARIOS[name]
    shops = [
        measure("bench.routing:play", scenario=name, customers=customers, nights=nights, seed=seed).value
        for seed in seeds
    ]
    policies = list(shops[0])

    def told(policy: str, figure: str, digits: int) -> list[str]:
        """The figure's entries, each the mean over the shops with its interval."""
        found = np.array([shop[policy][figure] for shop in shops])
        halves = 1.96 * np.sqrt((found[:, 1] ** 2).sum(axis=0)) / len(shops)
        return [
            f"{value:.{digits}f} ± {half:.{digits}f}"
            for value, half in zip(found[:, 0].mean(axis=0), halves, strict=True)
        ]

    def plain(policy: str, figure: str) -> float:
        return float(np.mean([shop[policy][figure] for shop in shops]))

    thirds = ["first third", "second third", "last third", "last less first"]
    parts = [
        f"### {name}\n\n{words} {len(seeds)} shop{'s' if len(seeds) > 1 else ''}.",
        table(
            [
                "policy", "worth", "this project's lead", "messages per customer",
                "sleeping dogs written to a night, of those free", "others",
            ],
            [
                [
                    policy, *told(policy, "worth", 3), *(told(policy, "lead", 2) if policy != OURS else [""]),
                    f"{plain(policy, 'sent'):.1f}", f"{plain(policy, 'dogs'):.1%}", f"{plain(policy, 'others'):.1%}",
                ]
                for policy in policies
            ],
        ),
    ]  # fmt: skip
    for key, figure in BY_THIRD.items():
        rows = [[policy, *told(policy, key, 3)] for policy in policies]
        parts += [figure.words, table(["policy", *thirds], rows)]
    parts += [
        "Each part of this project's messages: its factor of the response over that of the best message. The best tier is that "
        "of the highest worth, so that others may be clicked on more.",
        table(["part", *thirds], [[part, *told(OURS, part, 3)] for part in PARTS]),
        "The expected value of this project's messages against their worth, per message; by third, and by fifths of the "
        "expected value.",
        table(["", *thirds], [[figure.words, *told(OURS, key, 3)] for key, figure in CALIBRATION.items()]),
        table(
            ["", *(f"fifth {fifth + 1}" for fifth in range(FIFTHS))],
            [[figure.words, *told(OURS, f"{key}_fifths", 3)] for key, figure in CALIBRATION.items()],
        ),
    ]
    return "\n\n".join(parts)


def play(scenario: str, customers: int, nights: int, seed: int) -> dict[str, dict[str, Any]]:
    """Policy -> figures on one shop: numbers, or a list of entries and one of their standard errors over customers."""
    from bench.routing_judge import Shop
    from bench.routing_loop import ours
    from bench.routing_rivals import rivals
    from lifecycle_assets.definitions import Home
    from lifecycle_assets.simulator.world import World

    _, messages_per_month, unsubscribed, _ = SCENARIOS[scenario]
    start = dt.date(2024, 1, 1)
    world = World("loop", start, PAST_DAYS, customers, seed, messages_per_month=messages_per_month)
    shop = Shop(world, unsubscribed)
    with tempfile.TemporaryDirectory() as folder:
        lived = {OURS: ours(Home(Path(folder)), shop, nights)} | dict(rivals(shop, nights))
    worth = {policy: by_customer(rows, customers) for policy, rows in lived.items()}
    figures = {
        policy: {
            "worth": _mean(worth[policy]),
            "lead": _mean(worth[OURS] - worth[policy]),
            "sent": rows["worth"].count() / customers,
            **_dogs(rows),
            **{key: _by_third(rows, figure, customers) for key, figure in BY_THIRD.items()},
        }
        for policy, rows in lived.items()
    }
    own = lived[OURS].with_columns(
        fifth=pl.col("expected").rank("ordinal").sub(1).mul(FIFTHS) // pl.col("expected").count()
    )
    figures[OURS] |= {key: _by_third(own, figure, customers) for key, figure in (PARTS | CALIBRATION).items()}
    for key, figure in CALIBRATION.items():
        ratio, off = _ratios(own, pl.col("fifth"), FIFTHS, figure, customers)
        figures[OURS][f"{key}_fifths"] = [ratio.tolist(), _error(off).tolist()]
    return figures


def by_customer(rows: pl.DataFrame, customers: int) -> np.ndarray:
    """The worth of all messages to each customer."""
    total = np.zeros(customers)
    np.add.at(total, rows["customer"].to_numpy(), rows["worth"].fill_null(0.0).to_numpy())
    return total


def _mean(values: np.ndarray) -> list[list[float]]:
    return [[float(values.mean())], [float(values.std() / np.sqrt(values.size))]]


def _dogs(rows: pl.DataFrame) -> dict[str, float]:
    """Share of the sleeping dogs, and of the others, who are written to, of those who may be and have not left for good."""
    shares = rows.filter("is_alive").group_by("is_dog").agg(pl.col("worth").is_not_null().mean())
    found = dict(shares.iter_rows())
    return {"dogs": found[True], "others": found[False]}


def _by_third(rows: pl.DataFrame, figure: Figure, customers: int) -> list[list[float]]:
    """The figure in each third of the nights, and how much higher it is in the last than in the first; and their errors."""
    first, nights = rows["day"].min(), rows["day"].n_unique()
    ratio, off = _ratios(rows, (pl.col("day") - first) * 3 // nights, 3, figure, customers)
    return [[*ratio.tolist(), ratio[2] - ratio[0]], [*_error(off).tolist(), float(_error(off[2] - off[0]))]]


def _ratios(
    rows: pl.DataFrame, group: pl.Expr, groups: int, figure: Figure, customers: int
) -> tuple[np.ndarray, np.ndarray]:
    """The figure in each group of the rows; and group x customer what each customer adds to its error, by linearisation."""
    above, below = (part.cast(pl.Float64) for part in (figure.above, figure.below))
    kept = rows.select("customer", group=group.cast(pl.Int64), above=above, below=below).drop_nulls()
    sums = np.zeros((2, groups, customers))
    for name, of in zip(("above", "below"), sums, strict=True):
        np.add.at(of, (kept["group"].to_numpy(), kept["customer"].to_numpy()), kept[name].to_numpy())
    total = np.maximum(sums[1].sum(axis=1), 1e-9)
    ratio = sums[0].sum(axis=1) / total
    return ratio, (sums[0] - ratio[:, None] * sums[1]) / total[:, None]


def _error(off: np.ndarray) -> np.ndarray:
    return np.sqrt((off**2).sum(axis=-1))
