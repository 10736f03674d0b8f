"""Is the world still the one that the models have learnt about?

Two questions of each model in force. Do those whom it scores look as they did on the night of its training? Of each feature
and of the score the population stability index is told, over BINS bins that held a tenth each on that night (or the levels of
a category, the rare ones together; missing is a bin of its own):

    PSI = sum over bins of (p - q) ln(p / q),   p the share on the night of training, q tonight's (Siddiqi, Credit risk
                                                scorecards, 2006; half a row is added to every bin)

Where nothing has changed it is distributed like (1/m + 1/n) times a chi-squared of bins - 1 degrees of freedom, m and n being
the rows then and now (Yurdakul & Naranjo, Statistical properties of the population stability index, 2020). So the threshold is
`scores.drift_psi`, or what chance exceeds in one night of a thousand in any of the model's features, whichever is higher: a few
customers do not look like drift, and a model that is looked at every night is seldom called drifted for nothing. Ages grow with
the calendar: where all of a shop's customers are known since the same day, the days since then drift, and are indeed values
that the model has never seen.

And does what is foretold happen? Of the version's own scores whose time has passed, by how much the sum of what happened is off
the sum of the probabilities, as a share of it; the threshold is OFF, or what chance exceeds in one night of a thousand.

The model's card holds the bins. Models of an earlier release have none, and before the first scores are settled nothing is
known of calibration: the note says so.
"""

import dataclasses
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, flag, key, number, shop_key, table, text
from lifecycle_assets.models.classifier import Trained
from lifecycle_assets.models.classifier_encoding import LEAST_SHARE, MISSING
from lifecycle_assets.models.classifier_model import Classifier

BINS = 10
OFF = 0.2
# Of nights on which nothing has changed, the share that chance may call drifted.
ALPHA = 0.001
FEATURE, SCORE, CALIBRATION = "feature", "score", "calibration"
PROBABILITY = "probability"
# Rows beyond which shares get no surer; whoever asks about a large shop draws as many.
MOST_ROWS = 50_000


@table("models.drift", history=True)
class Drift(dy.Schema):
    """How far the features, the score and the calibration of each model in force have moved since it was trained."""

    shop_id = shop_key()
    as_of = as_of_column()
    model = key("The model, as in models.registry.")
    kind = dy.String(
        primary_key=True,
        check=lambda column: column.is_in([FEATURE, SCORE, CALIBRATION]),
        description="feature or score: by the population stability index; calibration: by what happened.",
    )
    name = key("The feature; probability for the other kinds.")
    statistic = number(
        "Population stability index; of a calibration, what happened over what was foretold, less 1, without its sign.",
        nullable=True,
        minimum=0,
    )
    threshold = number("Beyond which it has drifted.", nullable=True, minimum=0)
    is_drifted = flag("statistic is above threshold.")
    n = count("Rows looked at tonight; of a calibration, scores whose time has passed.", "rows")
    n_trained = count("Rows of the night of training; null of a calibration.", "rows", nullable=True)
    note = text("What was seen, where it has drifted, or why nothing is told.")


def described(made: Trained, rows: pl.DataFrame) -> Trained:
    """A training with the distributions of the features and of the score in its card; `rows` are those to be scored on the
    night of training, or a draw of them."""
    if made.model is None:
        return made
    features = made.card["features"]
    bins = {
        **{name: _bins(_numbers(rows[name])) for name in features["numbers"]},
        **{name: _levels(_texts(rows[name])) for name in features["categories"]},
    }
    score = _bins(pl.Series(made.model.probability(rows)))
    distributions = {"rows": rows.height, "score": score, "features": bins}
    return dataclasses.replace(made, card={**made.card, "distributions": distributions})


def moved(model_name: str, card: dict[str, Any], model: Classifier, rows: pl.DataFrame, least: float) -> pl.DataFrame:
    """A row of `Drift` (without shop_id and as_of) for each feature and for the score of a stored model; `rows` are those
    scored tonight, or a draw of them, `least` is scores.drift_psi."""
    known = card.get("distributions")
    if known is None or not rows.height:
        reason = "Nobody is scored tonight." if known else "The model was trained before distributions were kept."
        return _rows([_untold(model_name, SCORE, rows.height, reason)])
    of_each = [(FEATURE, name, binned, rows[name]) for name, binned in known["features"].items()]
    of_score = [(SCORE, PROBABILITY, known["score"], pl.Series(model.probability(rows)))]
    return _rows(
        [
            _compared(model_name, kind, name, binned, values, least, len(together))
            for together in (of_each, of_score)
            for kind, name, binned, values in together
        ]
    )


def calibration(model_name: str, probability: np.ndarray, happened: np.ndarray) -> pl.DataFrame:
    """A row of `Drift` (without shop_id and as_of): what was foretold of each, and whether it `happened`."""
    from scipy.stats import norm

    foretold = float(probability.sum())
    if not 0 < foretold < probability.size:
        return _rows(
            [_untold(model_name, CALIBRATION, probability.size, "No score of this version is old enough yet.")]
        )
    off = happened.sum() / foretold - 1
    threshold = max(OFF, float(norm.isf(ALPHA / 2) * np.sqrt((probability * (1 - probability)).sum())) / foretold)
    is_drifted = bool(abs(off) > threshold)
    note = f"{happened.mean():.2%} happened of {probability.size:,}; {probability.mean():.2%} was foretold."
    return _rows(
        [
            {
                "model": model_name,
                "kind": CALIBRATION,
                "name": PROBABILITY,
                "statistic": float(abs(off)),
                "threshold": threshold,
                "is_drifted": is_drifted,
                "n": probability.size,
                "note": note if is_drifted else None,
            }
        ]
    )


def psi(then: np.ndarray, now: np.ndarray) -> float:
    """The population stability index of the counts of the same bins."""
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (then, now))
    return float(((p - q) * np.log(p / q)).sum())


def by_chance(bins: int, then: int, now: int, alternatives: int) -> float:
    """What the index exceeds in one night of a thousand in any of so many features, if nothing has changed."""
    from scipy.stats import chi2

    return float(chi2.isf(ALPHA / alternatives, bins - 1) * (1 / then + 1 / now)) if bins > 1 else 0.0


def _bins(values: pl.Series) -> dict[str, Any]:
    """Edges that cut the values into about BINS equal parts, and the counts of the parts; the last one is of missing values."""
    there = values.drop_nulls().to_numpy()
    tenths = np.arange(1, BINS) / BINS
    edges = np.unique(np.quantile(there, tenths, method="inverted_cdf")) if there.size else np.empty(0)
    return {"edges": edges.tolist(), "counts": _counted({"edges": edges.tolist()}, values).tolist()}


def _levels(values: pl.Series) -> dict[str, Any]:
    """The levels that LEAST_SHARE of the values have, and their counts; the last one is of all others."""
    found = values.alias("level").value_counts(name="rows")
    levels = found.filter(pl.col("rows") >= LEAST_SHARE * values.len())["level"].sort().to_list()
    return {"levels": levels, "counts": _counted({"levels": levels}, values).tolist()}


def _counted(binned: dict[str, Any], values: pl.Series) -> np.ndarray:
    """How many of the values are in each bin."""
    if "levels" in binned:
        levels = binned["levels"]
        code = values.replace_strict(levels, range(len(levels)), default=len(levels), return_dtype=pl.Int64).to_numpy()
        return np.bincount(code, minlength=len(levels) + 1)
    edges = np.asarray(binned["edges"], float)
    there = values.drop_nulls().to_numpy()
    counts = np.bincount(np.searchsorted(edges, there), minlength=edges.size + 1)
    return np.append(counts, values.null_count())


def _numbers(values: pl.Series) -> pl.Series:
    number = pl.col(values.name).cast(pl.Float64)
    return values.to_frame().select(pl.when(number.is_finite()).then(number)).to_series()


def _texts(values: pl.Series) -> pl.Series:
    return values.cast(pl.String).fill_null(MISSING)


def _compared(
    model_name: str, kind: str, name: str, binned: dict[str, Any], values: pl.Series, least: float, alternatives: int
) -> dict[str, Any]:
    then = np.asarray(binned["counts"])
    now = _counted(binned, _texts(values) if "levels" in binned else _numbers(values))
    used = then + now > 0
    statistic = psi(then[used], now[used])
    threshold = max(least, by_chance(int(used.sum()), int(then.sum()), int(now.sum()), alternatives))
    is_drifted = statistic > threshold
    return {
        "model": model_name,
        "kind": kind,
        "name": name,
        "statistic": statistic,
        "threshold": threshold,
        "is_drifted": is_drifted,
        "n": int(now.sum()),
        "n_trained": int(then.sum()),
        "note": _told(binned, then, now) if is_drifted else None,
    }


def _told(binned: dict[str, Any], then: np.ndarray, now: np.ndarray) -> str:
    """The bin whose share has changed most."""
    p, q = then / then.sum(), now / now.sum()
    most = int(np.abs(p - q).argmax())
    if "levels" in binned:
        bin_ = [*binned["levels"], "other levels"][most]
    else:
        ends = [None, *binned["edges"], None]
        bounds = [
            f"{sign} {end:.4g}"
            for sign, end in zip((">", "<="), ends[most : most + 2], strict=False)
            if end is not None
        ]
        bin_ = "missing" if most == then.size - 1 else " and ".join(bounds) or "any value"
    return f"{bin_}: {q[most]:.1%} of the rows, {p[most]:.1%} on the night of training."


def _untold(model_name: str, kind: str, n: int, note: str) -> dict[str, Any]:
    return {"model": model_name, "kind": kind, "name": PROBABILITY, "is_drifted": False, "n": n, "note": note}


def _rows(rows: list[dict[str, Any]]) -> pl.DataFrame:
    columns = {name: kind for name, kind in Drift.polars_schema.items() if name not in ("shop_id", "as_of")}
    return pl.DataFrame(rows, schema=columns)
