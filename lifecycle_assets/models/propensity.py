"""What do the propensity tables have in common? Their columns, and the words for a probability.

A row says how likely its customer is to do one thing within some days: the calibrated probability, its tier, a sentence that
says what to do, the three things that drive it most, and which model said so. Without a model the probability is null and the
tier Very Low; with one that is no better than chance or than its simple rule, every row says that it is not to be acted on.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import count, date, flag, share, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.classifier import TrainingSet
from lifecycle_assets.models.classifier_drivers import Words, factors_in_words
from lifecycle_assets.models.classifier_tiers import TIERS, tiers
from lifecycle_assets.settings import Scores

VERY_HIGH, HIGH, MEDIUM, LOW, VERY_LOW = TIERS
STANDS_OUT = 2.0


class PropensityColumns(dy.Schema):
    """The columns that every propensity table has beside its key."""

    probability = share("Calibrated chance that it happens; null where nothing could be learnt.", nullable=True)
    propensity_tier = text("The tier of the probability.", nullable=False, values=TIERS)
    interpretation = text("The row in words, and what to do.", nullable=False)
    top_factors = text("The three features that move the probability most; null where not asked for (see the table).")
    is_used = flag("The score may be acted on: better than chance at 95 % and than the simple rule, out of time.")
    note = text("What to know about the model behind the score.")
    model_version = count("Version in models.registry.", "version", nullable=True)
    trained_as_of = date("The night on which the model was trained.", nullable=True)


def drawn(customers: pl.Series, most: int, shop: str, table: str, seed: int) -> pl.Series | None:
    """At most `most` of the customers, at random but the same every time; None for all of them."""
    if customers.len() <= most:
        return None
    chosen = generator(shop, table, seed).choice(customers.len(), max(most, 1), replace=False)
    return customers.sort().gather(np.sort(chosen))


def newest(*days: pl.Series) -> dt.date | None:
    """The latest of the dates; None without any."""
    return pl.concat(series.alias("day") for series in days).to_frame().select(pl.col("day").max()).item()


def newest_by_age(rows: pl.DataFrame, ages: Sequence[str]) -> dict[dt.date, dt.date | None]:
    """For each snapshot of `rows`, the date of the newest event that their `ages` tell of, columns of days before the moment
    that a row is of, taken from the end of the snapshot. An event after its row's moment, of a negative age, gives a later
    date than the snapshot; rows without any age give None."""
    youngest = pl.min_horizontal(ages).min().floor().cast(pl.Int64)
    of_each = rows.group_by("snapshot").agg(youngest.alias("youngest"))
    return dict(of_each.select("snapshot", newest=pl.col("snapshot") - pl.duration(days="youngest")).rows())


def stacked(
    snapshots: Sequence[pl.DataFrame],
    numbers: tuple[str, ...],
    categories: tuple[str, ...],
    baseline: tuple[str, ...],
    positive: str,
) -> TrainingSet:
    """The rows of all snapshots as one training set; without any, an empty one."""
    kinds = pl.Schema({"snapshot": pl.Date, "group": pl.String, "label": pl.Boolean, "target": pl.String})
    kinds.update(dict.fromkeys(numbers, pl.Float64()) | dict.fromkeys(categories, pl.String()))
    typed = [rows.select(pl.col(name).cast(kind) for name, kind in kinds.items()) for rows in snapshots]
    return TrainingSet(pl.concat([pl.DataFrame(schema=kinds), *typed]), numbers, categories, baseline, positive)


def interpreted(event: pl.Expr, advice: Mapping[str, str], champion: Champion) -> pl.Expr:
    """A sentence out of probability, propensity_tier and times_average: `event` in words ("buys tea within 30 days"), then the
    advice of its tier, unless the model is not to be acted on. Where little is likely at all, whoever is far likelier than the
    average is said to be."""
    if champion.model is None:
        return pl.format("No probability that this customer {}: too little to learn from.", event)
    chance = pl.format("{} % ({}) that this customer {}", _percent(), "propensity_tier", event)
    if not champion.is_used:
        return pl.format("{}. Do not act on it: the model has not proved itself.", chance)
    times = pl.col("times_average")
    stands_out = pl.col("propensity_tier").is_in([LOW, VERY_LOW]) & (times >= STANDS_OUT)
    told = pl.format("seldom, but {} times as likely as the average: choose such customers first", times.round(1))
    said = pl.col("propensity_tier").replace_strict(advice, return_dtype=pl.String)
    return pl.format("{}: {}.", chance, pl.when(stands_out).then(told).otherwise(said))


def scored(
    customers: pl.DataFrame,
    features_of: Callable[[pl.DataFrame], pl.DataFrame],
    champion: Champion,
    settings: Scores,
    words: Mapping[str, Words],
    explained: Callable[[np.ndarray], np.ndarray],
    block: int,
) -> Iterator[pl.DataFrame]:
    """The rows of `features_of`, the same number for each of the customers, with probability, propensity_tier, times_average
    (of the thing's probabilities), top_factors and what is told of the model; `block` customers at a time.

    Factors are given for tiers of High or better, and where `explained`, which sees probabilities of customers x things, says
    so. Tiers by rank are among the customers, for each thing apart.
    """
    starts = range(0, customers.height, block)

    def rows_at(at: int) -> pl.DataFrame:
        return features_of(customers[at : at + block])

    # Tiers may be ranks, so every probability is there before the first row: 8 bytes each.
    chances = np.concatenate([_probabilities(champion, rows_at(at)) for at in starts]).reshape(customers.height, -1)
    codes = np.column_stack([_tier_codes(thing, settings) for thing in chances.T])
    times_average = chances / chances.mean(axis=0)
    for at in starts:
        rows, some, tier = rows_at(at), chances[at : at + block], codes[at : at + block]
        told = np.flatnonzero((tier <= TIERS.index(HIGH)) | explained(some))
        reasons = pl.DataFrame({"row": told.astype(np.uint32), "top_factors": _factors(champion, rows[told], words)})
        yield (
            rows.with_columns(
                probability=pl.Series(some.ravel()).fill_nan(None),
                propensity_tier=pl.Series(TIERS).gather(tier.ravel()),
                times_average=times_average[at : at + block].ravel(),
            )
            .with_row_index("row")
            .join(reasons, on="row", how="left", maintain_order="left")
            .with_columns(
                pl.lit(champion.is_used).alias("is_used"),
                pl.lit(champion.note or None, pl.String).alias("note"),
                pl.lit(champion.version, pl.Int64).alias("model_version"),
                pl.lit(champion.trained_as_of, pl.Date).alias("trained_as_of"),
            )
        )


def _probabilities(champion: Champion, rows: pl.DataFrame) -> np.ndarray:
    """The probability of each row; NaN without a model."""
    return np.full(rows.height, np.nan) if champion.model is None else champion.model.probability(rows)


def _tier_codes(chances: np.ndarray, settings: Scores) -> np.ndarray:
    """The places of the tiers in TIERS."""
    named = tiers(pl.Series(chances).fill_nan(None), settings)
    return named.cast(pl.Enum(TIERS)).to_physical().to_numpy()


def _factors(champion: Champion, rows: pl.DataFrame, words: Mapping[str, Words]) -> pl.Series:
    """What drives each row, in words; null without a model."""
    if champion.model is None or rows.is_empty():
        return pl.repeat(None, rows.height, dtype=pl.String, eager=True)
    return factors_in_words(champion.model.drivers(rows), words)


def _percent() -> pl.Expr:
    """Rounded down, so that it never looks like the next tier's."""
    whole = (pl.col("probability") * 100).round(6).floor().cast(pl.Int64).cast(pl.String)
    return pl.when(pl.col("probability") < 0.01).then(pl.lit("< 1")).otherwise(whole)
