"""Into which segments do the customers fall most clearly, and of how many ways tried is this the best?

KMeans, GaussianMixture, Agglomerative (Ward) and DBSCAN compete, for every number of segments or distance in question. A
candidate is eligible with two segments or more, none too small, and little noise. The highest silhouette wins, then the
lowest Davies-Bouldin index. Stability is the mean adjusted Rand index (Hubert and Arabie, 1985) of refits on bootstrap
samples. With fewer than 10 customers, or no eligible candidate, all customers are one segment.

Segments stay from night to night. Those in use last night are carried on: a customer who has moved away from the mean of its
segment goes where a mean is nearer, newcomers go to the nearest, and all others stay. On the night of a race (races.py) they
compete as they are, in place of a new fit of the same family and parameter, and stay in use while they are eligible and their
silhouette is within `keep_within` of the best. On the nights between two races they stay in use while they are eligible.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, number, share, shop_key, table, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.markdown import markdown
from lifecycle_assets.models.cluster_quality import NOISE, Quality, quality
from lifecycle_assets.models.races import night_of_race, settings_of_race
from lifecycle_assets.models.segmentation_families import (
    Candidate,
    Fit,
    candidates,
    centroids_of,
    fit,
    fit_rows,
    nearest_centroid,
    one_thread,
)
from lifecycle_assets.models.segmentation_features import Features
from lifecycle_assets.settings import Segmentation

LEAST_CUSTOMERS = 10
ONE_SEGMENT = "OneSegment"
SEED_OF = "models.segmentation_benchmark"
# A customer has moved away from its segment when its distance to the mean is this many times that of last night. Without it
# many customers who bought nothing would change segment, as only KMeans draws the borders half-way between means.
MOVED_AWAY = 1.05
ASSIGNED_BY = {
    "GaussianMixture": "the likeliest component",
    "Agglomerative": "the nearest centroid",
    "DBSCAN": "the nearest core point",
}


@table("models.segmentation_benchmark", history=True)
class SegmentationBenchmark(dy.Schema):
    """Every segmentation tried, how well its segments stand apart, and which one is in use."""

    shop_id = shop_key()
    as_of = as_of_column()
    family = key("KMeans, GaussianMixture, Agglomerative or DBSCAN; OneSegment where none of them will do.")
    parameter = key("The number of segments asked for, or the distance eps of DBSCAN.")
    k = count("Segments asked for; null for DBSCAN.", "segments", nullable=True)
    eps = number("Distance of DBSCAN; null for the others.", "scaled features", nullable=True, minimum=0)
    n_clusters = count("Segments found.", "segments")
    smallest_share = share("Share of the customers in the smallest segment.")
    noise_share = share("Share of the customers in no segment.")
    silhouette = number(
        "Mean silhouette: 1 is far apart, 0 is touching; null without two segments.",
        nullable=True,
        minimum=-1,
        maximum=1,
    )
    silhouette_rows = count("Customers that the silhouette was taken on; a sample when these are not all.", "customers")
    davies_bouldin = number(
        "Spread over distance; lower is better; null without two segments.", nullable=True, minimum=0
    )
    calinski_harabasz = number("Variance between over within; higher is better.", nullable=True, minimum=0)
    stability = number(
        "Mean adjusted Rand index against refits on bootstrap samples: 1 is always the same, 0 is chance.",
        nullable=True,
        minimum=-1,
        maximum=1,
    )
    fitted_on = text("Which customers the fit was made on, and how the others got their segment.", nullable=False)
    kept_from = date("Night whose segments these are, carried on; null for a fit of this night.", nullable=True)
    eligible = flag("May be chosen: two segments or more, none too small, little noise.")
    chosen = flag("The segmentation in use.")
    trained_as_of = night_of_race()
    made_by = settings_of_race()
    note = text("Why it is not eligible, or why it was chosen.")


class LastNight(NamedTuple):
    """The segmentation in use on the latest night before: `labels` has customer_id, segment, segment_id and distance."""

    as_of: dt.date
    family: str
    parameter: str
    labels: pl.DataFrame


class Kept(NamedTuple):
    """Last night's segments carried on: the labels 0 .. tonight, -1 for noise, and where they are from."""

    as_of: dt.date
    family: str
    parameter: str
    labels: np.ndarray


class Points(NamedTuple):
    """The customers' scaled features, sorted by value: row i is customer `order[i]` of the features."""

    rows: np.ndarray
    order: np.ndarray
    kept: Kept | None


def points(features: Features, last: LastNight | None) -> Points:
    """What the families are fitted on: the same for the same values, whatever the customers are called."""
    order = np.lexsort(features.scaled.T[::-1])
    rows = features.scaled[order]
    return Points(rows, order, None if last is None else _carried_on(rows, features.customers.gather(order), last))


def score(family: str, these: Points, shop: str, as_of: dt.date, settings: Segmentation, seed: int) -> pl.DataFrame:
    """A row of SegmentationBenchmark for each candidate of the family, none chosen yet; no rows below 10 customers."""
    n = len(these.rows)
    if n < LEAST_CUSTOMERS:
        return SegmentationBenchmark.empty()
    with one_thread():
        train = _train(family, these.rows, shop, settings, seed)
        tried = candidates(family, train, settings)
        labelings = _labelings(family, these, train, tried, shop, settings, seed)
        again = [c for c in tried if these.kept and (family, c.parameter) == (these.kept.family, these.kept.parameter)]
        if these.kept and again:
            tried, labelings = tried + again, [*labelings, these.kept.labels]
        qualities = quality(these.rows, labelings, generator(shop, SEED_OF, seed))
        stabilities = _stability(family, these, tried, labelings, shop, settings, seed)
    rows = [
        _row(candidate, labels, figures, stability, settings)
        for candidate, labels, figures, stability in zip(tried, labelings, qualities, stabilities, strict=True)
    ]
    if these.kept and again:
        _put_kept(rows, these.kept, settings)
    fixed = {
        "shop_id": shop,
        "as_of": as_of,
        "family": family,
        "fitted_on": _fitted_on(family, len(train), n),
        "kept_from": None,
        "chosen": False,
        "trained_as_of": None,
        "made_by": None,
    }
    frame = pl.DataFrame([{**fixed, **row} for row in rows], infer_schema_length=None)
    return SegmentationBenchmark.conform(frame.lazy()).collect() if rows else SegmentationBenchmark.empty()


def segmentation_benchmark(
    scored: pl.DataFrame, n_customers: int, shop: str, as_of: dt.date, settings: Segmentation
) -> pl.DataFrame:
    """The rows of `score` of all families with the one in use, ordered by family and k or eps."""
    eligible = scored.filter("eligible").sort(
        "silhouette", "davies_bouldin", "family", "k", "eps", descending=[True, False, False, False, False]
    )
    if eligible.is_empty():
        chosen, scored = _one_segment(scored, n_customers, shop, as_of)
    else:
        chosen = _choice(eligible, settings)
    is_chosen = (pl.col("family") == chosen["family"]) & (pl.col("parameter") == chosen["parameter"])
    return scored.with_columns(
        is_chosen.alias("chosen"),
        pl.when(is_chosen).then(pl.lit(chosen["note"])).otherwise("note").alias("note"),
    ).sort("family", "k", "eps", "parameter")


def between_races(
    standing: pl.DataFrame, these: Points, shop: str, as_of: dt.date, settings: Segmentation, seed: int
) -> pl.DataFrame | None:
    """The rows of the last race, `standing`, with the figures of the segments in use as carried on to tonight's customers;
    those of a race of this very night as they are. None where the segments will not do any more: it is time for a race."""
    if standing["trained_as_of"][0] == as_of:
        return standing
    if these.kept is None:
        return None
    used = standing.filter("chosen").row(0, named=True)
    with one_thread():
        figures = quality(these.rows, [these.kept.labels], generator(shop, SEED_OF, seed))[0]
    candidate = Candidate(used["parameter"], used["k"], used["eps"])
    carried = _row(candidate, these.kept.labels, figures, used["stability"], settings)
    if not carried["eligible"]:
        return None
    told = {
        "kept_from": these.kept.as_of,
        "fitted_on": f"not fitted: the segments of {these.kept.as_of}, newcomers by the nearest centroid",
        "note": f"kept from {these.kept.as_of}: in use since a race, the last on {used['trained_as_of']}",
    }
    row = pl.DataFrame([{**used, **carried, **told}], schema=standing.schema)
    return pl.concat([standing.filter(~pl.col("chosen")), row]).sort("family", "k", "eps", "parameter")


def shown(benchmark: pl.DataFrame) -> str:
    """The candidates as a markdown table, the best first."""
    columns = [
        "family",
        "parameter",
        "n_clusters",
        "silhouette",
        "davies_bouldin",
        "stability",
        "fitted_on",
        "chosen",
        "note",
    ]
    ranked = benchmark.sort("chosen", "eligible", "silhouette", descending=True, nulls_last=True)
    return markdown(ranked.select(columns), longest=160)


def labels_of(benchmark: pl.DataFrame, these: Points, shop: str, settings: Segmentation, seed: int) -> np.ndarray:
    """The labels 0 .. of the chosen segmentation for each of the points, -1 for noise."""
    chosen = benchmark.filter("chosen").row(0, named=True)
    if chosen["family"] == ONE_SEGMENT:
        return np.zeros(len(these.rows), np.int64)
    if these.kept is not None and chosen["kept_from"] is not None:
        return these.kept.labels
    candidate = Candidate(chosen["parameter"], chosen["k"], chosen["eps"])
    with one_thread():
        train = _train(chosen["family"], these.rows, shop, settings, seed)
        return _labelings(chosen["family"], these, train, [candidate], shop, settings, seed)[0]


def _carried_on(rows: np.ndarray, customers: pl.Series, last: LastNight) -> Kept | None:
    """Last night's segments with tonight's customers; customers in no segment stay there. None where none is left."""
    before = (
        customers.alias("customer_id").to_frame().join(last.labels, on="customer_id", how="left", maintain_order="left")
    )
    inside = pl.when(pl.col("segment") > 0).then("segment_id")
    own = before.select(inside.rank("dense").cast(pl.Int64) - 1).to_series().fill_null(NOISE).to_numpy()
    if not (own >= 0).any():
        return None
    means = centroids_of(rows, own)
    nearest = nearest_centroid(rows, means)
    distance = np.sqrt(((rows - means[own]) ** 2).sum(axis=1))
    moved_away = (own != NOISE) & (distance > MOVED_AWAY * before["distance"].fill_null(0).to_numpy())
    goes = moved_away | before["segment"].is_null().to_numpy()
    return Kept(last.as_of, last.family, last.parameter, np.where(goes, nearest, own))


def _put_kept(rows: list[dict[str, Any]], kept: Kept, settings: Segmentation) -> None:
    """The last row, of the segments carried on, takes the place of the new fit of the same parameter, unless that is
    clearly better."""
    carried = rows.pop()
    place = [row["parameter"] for row in rows].index(kept.parameter)
    fitted = rows[place]
    if carried["eligible"] and (
        not fitted["eligible"] or carried["silhouette"] >= fitted["silhouette"] - settings.keep_within
    ):
        new = f"has silhouette {fitted['silhouette']:.3f}" if fitted["eligible"] else "is not eligible"
        fitted_on = f"not fitted: the segments of {kept.as_of}, newcomers by the nearest centroid; a new fit {new}"
        rows[place] = {**carried, "kept_from": kept.as_of, "fitted_on": fitted_on}


def _train(family: str, rows: np.ndarray, shop: str, settings: Segmentation, seed: int) -> np.ndarray:
    """The rows that the family is fitted on: all, or a random sample of them in the same order."""
    n = fit_rows(family, rows.shape, settings)
    if n == len(rows):
        return rows
    return rows[np.sort(generator(shop, f"{SEED_OF}/{family}", seed).choice(len(rows), n, replace=False))]


def _labelings(
    family: str,
    these: Points,
    train: np.ndarray,
    tried: Sequence[Candidate],
    shop: str,
    settings: Segmentation,
    seed: int,
) -> list[np.ndarray]:
    fits = fit(family, train, tried, settings, _state(shop, seed))
    return [made.labels if train is these.rows else made.assign(these.rows) for made in fits]


def _stability(
    family: str,
    these: Points,
    tried: Sequence[Candidate],
    labelings: Sequence[np.ndarray],
    shop: str,
    settings: Segmentation,
    seed: int,
) -> list[float]:
    """Refits are made of, and compared on, as many rows as a silhouette; those of DBSCAN of as many as its own fit, because
    density is what it looks at."""
    from sklearn.metrics import adjusted_rand_score

    rng = generator(shop, f"{SEED_OF}/stability", seed)
    n = len(these.rows)
    size = min(n, settings.sample_rows)
    compared = np.sort(rng.choice(n, size, replace=False))
    n_drawn = fit_rows(family, these.rows.shape, settings) if family == "DBSCAN" else size

    def agreement(refits: Sequence[Fit]) -> list[float]:
        again = [refit.assign(these.rows[compared]) for refit in refits]
        return [adjusted_rand_score(one[compared], other) for one, other in zip(labelings, again, strict=True)]

    scores = []
    for _ in range(settings.stability_refits):
        drawn = these.rows[np.sort(rng.integers(0, n, n_drawn))]
        scores.append(agreement(fit(family, drawn, tried, settings, _state(shop, seed))))
    return np.mean(scores, axis=0).tolist()


def _state(shop: str, seed: int) -> int:
    return int(generator(shop, SEED_OF, seed).integers(2**31))


def _fitted_on(family: str, n_fitted: int, n: int) -> str:
    if n_fitted == n:
        return f"all {n:,} customers"
    return f"a sample of {n_fitted:,} of {n:,} customers; the others by {ASSIGNED_BY[family]}"


def _row(
    candidate: Candidate, labels: np.ndarray, figures: Quality, stability: float, settings: Segmentation
) -> dict[str, Any]:
    sizes = np.bincount(labels[labels != NOISE])
    smallest = float(sizes[sizes > 0].min(initial=labels.size)) / labels.size if sizes.size else 0.0
    noise = float((labels == NOISE).mean())
    reasons = []
    if figures.silhouette is None:
        reasons.append("less than two segments")
    if smallest < settings.min_cluster_share:
        reasons.append(
            f"smallest segment {smallest:.2%} of customers, at least {settings.min_cluster_share:.2%} asked for"
        )
    if noise > settings.max_noise_share:
        reasons.append(f"{noise:.0%} in no segment, at most {settings.max_noise_share:.0%} allowed")
    return {
        **candidate._asdict(),
        **figures._asdict(),
        "smallest_share": smallest,
        "noise_share": noise,
        "stability": stability,
        "eligible": not reasons,
        "note": "; ".join(reasons) or None,
    }


def _choice(eligible: pl.DataFrame, settings: Segmentation) -> dict[str, Any]:
    best = eligible.row(0, named=True)
    kept = eligible.filter(
        pl.col("kept_from").is_not_null() & (pl.col("silhouette") >= best["silhouette"] - settings.keep_within)
    )
    if kept.is_empty():
        return {**best, "note": f"highest silhouette of {eligible.height} eligible"}
    same = kept.row(0, named=True)
    ahead = best["silhouette"] - same["silhouette"]
    other = (
        f"{best['family']} {best['parameter']} is ahead by {ahead:.3f}, more than {settings.keep_within:g} is needed"
    )
    return {**same, "note": f"kept from {same['kept_from']}: {other if ahead > 0 else 'nothing is ahead'}"}


def _one_segment(
    scored: pl.DataFrame, n_customers: int, shop: str, as_of: dt.date
) -> tuple[dict[str, Any], pl.DataFrame]:
    few = f"fewer than {LEAST_CUSTOMERS} customers: all are one segment"
    none = "no candidate is eligible: all customers are one segment"
    row = {
        "shop_id": shop,
        "as_of": as_of,
        "family": ONE_SEGMENT,
        "parameter": "k 1",
        "k": 1,
        "n_clusters": min(1, n_customers),
        "smallest_share": 1.0,
        "noise_share": 0.0,
        "silhouette_rows": 0,
        "fitted_on": f"all {n_customers:,} customers",
        "eligible": True,
        "chosen": True,
        "note": few if n_customers < LEAST_CUSTOMERS else none,
    }
    one = pl.DataFrame([{name: row.get(name) for name in SegmentationBenchmark.columns}])
    return row, pl.concat([scored, SegmentationBenchmark.conform(one.lazy()).collect()])
