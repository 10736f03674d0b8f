"""Planted segments are found, the choice follows its rule, and segments stay who they are."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from segment_shop import AS_OF, SHOP, customers, night, planted, segmented
from sklearn.metrics import adjusted_rand_score

from lifecycle_assets.models.races import made_by, stamped
from lifecycle_assets.models.segment_drift import flows, segment_drift
from lifecycle_assets.models.segmentation import LastNight, SegmentationBenchmark, between_races, points
from lifecycle_assets.models.segmentation_centroids import segmentation_centroids
from lifecycle_assets.models.segmentation_features import feature_matrix
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.settings import Segmentation

QUICK = Segmentation(k_range=(2, 6), stability_refits=2)
FAMILIES = ["KMeans", "GaussianMixture", "Agglomerative", "DBSCAN"]
NEXT = AS_OF + dt.timedelta(days=1)


def only(family: str, **settings: object) -> Segmentation:
    return Segmentation.model_validate({**QUICK.model_dump(), "families": [family], **settings})


@pytest.mark.parametrize("family", FAMILIES)
def test_planted_segments_are_found_and_numbered_by_spend(family: str) -> None:
    values, kinds = planted()
    benchmark, labels = segmented(customers(values), only(family))
    SegmentationBenchmark.require(benchmark)
    SegmentationLabels.require(labels)
    chosen = benchmark.row(by_predicate=pl.col("chosen"), named=True)
    assert chosen["n_clusters"] == 4
    assert chosen["stability"] > 0.95
    placed = labels.filter(pl.col("segment") > 0)["segment"].to_numpy() - 1
    assert np.array_equal(placed, kinds[(labels["segment"] > 0).to_numpy()])
    assert (labels["segment"] == 0).mean() == chosen["noise_share"] <= 0.05


def test_the_highest_silhouette_of_the_eligible_wins() -> None:
    values, _ = planted()
    benchmark, _ = segmented(customers(values), QUICK)
    assert set(benchmark["family"]) == set(FAMILIES)
    best = (
        benchmark.filter("eligible").sort("silhouette", "davies_bouldin", descending=[True, False]).row(0, named=True)
    )
    assert benchmark.filter("chosen").rows(named=True) == [best]
    assert "highest silhouette" in best["note"]


def test_rows_and_ids_in_another_order_make_the_same_segments() -> None:
    values, _ = planted(3)
    # Many equal customers, whose order nothing but their ids decides.
    values = np.vstack([values, np.round(values[:60], -1), np.round(values[:60], -1)])
    ids = [f"c{i:05d}" for i in range(len(values))]
    shuffled = np.random.default_rng(9).permutation(len(values))
    renamed = np.random.default_rng(8).permutation(len(values))
    one_benchmark, one = segmented(customers(values, ids), QUICK)
    benchmark, other = segmented(customers(values[shuffled], [ids[renamed[i]] for i in shuffled]), QUICK)
    assert_frame_equal(one_benchmark, benchmark, check_exact=True)
    back = other.with_columns(pl.col("customer_id").replace_strict([ids[renamed[i]] for i in range(len(ids))], ids))
    assert_frame_equal(one, back.sort("customer_id"), check_exact=True)


def test_a_tiny_segment_is_not_eligible_unless_it_is_allowed() -> None:
    values, _ = planted()
    values = np.vstack([values, [[4000, 9e6, 300]]])  # one customer beyond all others
    benchmark, labels = segmented(customers(values), only("KMeans"))
    assert labels["segment"].unique().to_list() == [1]
    assert "no candidate is eligible" in benchmark.filter("chosen")["note"].item()
    assert all("smallest segment 0.28%" in note for note in benchmark.filter(~pl.col("eligible"))["note"])
    _, allowed = segmented(customers(values), only("KMeans", min_cluster_share=0))
    assert allowed.group_by("segment").len().sort("segment")["len"].to_list() == [len(values) - 1, 1]


@pytest.mark.parametrize("values", [np.empty((0, 3)), planted()[0][:9], np.ones((500, 3)), np.ones((1, 3))])
def test_too_few_or_equal_customers_are_one_segment(values: np.ndarray) -> None:
    benchmark, labels = segmented(customers(values), QUICK)
    SegmentationBenchmark.require(benchmark)
    SegmentationLabels.require(labels)
    chosen = benchmark.row(by_predicate=pl.col("chosen"), named=True)
    assert (chosen["family"], chosen["n_clusters"]) == ("OneSegment", min(1, len(values)))
    assert "one segment" in chosen["note"]
    assert labels["segment"].to_list() == [1] * len(values)


def test_above_the_limits_a_stated_sample_is_fitted_and_the_rest_assigned() -> None:
    values, kinds = planted(size=800)
    settings = QUICK.model_copy(update={"sample_rows": 1_000, "exact_up_to": 1_500})
    for family in FAMILIES:
        chosen = settings.model_copy(update={"families": (family,)})
        benchmark, labels = segmented(customers(values), chosen)
        said = {
            "KMeans": "all 3,600",
            "DBSCAN": "all 3,600",
            "GaussianMixture": "1,000 of 3,600",
            "Agglomerative": "1,500 of 3,600",
        }
        assert said[family] in benchmark["fitted_on"][0]
        assert adjusted_rand_score(kinds, labels["segment"]) > 0.97


def test_a_night_of_few_new_orders_moves_nobody_and_no_identity() -> None:
    values, _ = planted()
    benchmark, labels = segmented(customers(values), QUICK)
    rng = np.random.default_rng(5)
    bought = rng.choice(len(values), len(values) // 100, replace=False)
    values[bought] += [1, 25, 0]
    newcomers = np.tile([[1.0, 30.0, 1.0]], (3, 1))
    _, tonight = segmented(customers(np.vstack([values, newcomers])), QUICK, night(benchmark, labels), NEXT)
    assert segment_drift(tonight.lazy(), labels.lazy()).is_empty()
    assert set(tonight["segment_id"]) == set(labels["segment_id"])
    assert set(labels["segment_id"]) == {f"{AS_OF}/{number}" for number in range(1, 5)}


def test_an_identity_outlives_its_number_and_movers_are_named() -> None:
    values, kinds = planted()
    benchmark, labels = segmented(customers(values), QUICK)
    values[kinds == 1] += [0, 5_000, 0]  # the second segment now spends the most
    mover = int(np.flatnonzero(kinds == 0)[0])
    values[mover] = values[kinds == 3].mean(axis=0)
    _, tonight = segmented(customers(values), QUICK, night(benchmark, labels), NEXT)
    drift = segment_drift(tonight.lazy(), labels.lazy())
    assert drift.select("customer_id", "from_segment_id", "to_segment_id", "from_segment", "to_segment").rows() == [
        (f"c{mover:05d}", f"{AS_OF}/1", f"{AS_OF}/4", 1, 3)
    ]
    numbers = dict(tonight.select("segment_id", "segment").unique().rows())
    assert numbers[f"{AS_OF}/2"] == 4
    assert "1 of 360 customers moved" in flows(drift, tonight.height)
    assert segment_drift(tonight.lazy(), None).is_empty()


def test_last_nights_choice_stays_unless_it_is_clearly_beaten() -> None:
    values, _ = planted()
    frame = customers(values)
    benchmark, labels = segmented(frame, only("KMeans", k_range=(3, 3)))
    beaten, _ = segmented(frame, only("KMeans"), night(benchmark, labels), NEXT)
    assert beaten.filter("chosen")["k"].item() == 4
    gap = beaten.filter(pl.col("k") == 4)["silhouette"].item() - beaten.filter(pl.col("k") == 3)["silhouette"].item()
    kept, _ = segmented(frame, only("KMeans", keep_within=gap + 0.01), night(benchmark, labels), NEXT)
    assert kept.filter("chosen")["k"].item() == 3
    assert "kept from 2024-03-01: KMeans k 4 is ahead by" in kept.filter("chosen")["note"].item()


def test_centroids_are_the_means_in_original_units() -> None:
    values, _ = planted()
    frame = customers(values)
    _, labels = segmented(frame, only("KMeans"))
    made = segmentation_centroids(feature_matrix(frame.lazy(), QUICK), labels, SHOP, AS_OF)
    assert made.height == 4 * 3
    of_second = frame.filter(pl.Series(labels["segment"] == 2))
    for feature in QUICK.features:
        row = made.filter((pl.col("segment") == 2) & (pl.col("feature") == feature)).row(0, named=True)
        assert row["value"] == pytest.approx(of_second[feature].cast(pl.Float64).mean())
        assert row["of_all"] == pytest.approx(frame[feature].cast(pl.Float64).mean())


def _uneven(n: int) -> np.ndarray:
    """Customers without gaps between them, as most shops have: many small ones, few large ones."""
    rng = np.random.default_rng(11)
    visits = rng.geometric(0.1, n)
    return np.column_stack([visits, visits * rng.gamma(2, 20, n), np.minimum(visits, rng.integers(1, 15, n))])


@pytest.mark.parametrize("family", ["KMeans", "GaussianMixture", "Agglomerative"])
def test_customers_stay_where_they_are_night_after_night(family: str) -> None:
    values = _uneven(1_500)
    settings = Segmentation(k_range=(2, 4), stability_refits=1, families=(family,))
    benchmark, labels = segmented(customers(values), settings)
    random = np.random.default_rng(5)
    for days in range(1, 5):
        bought = random.choice(len(values), len(values) // 100, replace=False)
        values[bought] += [1, 40, 0]
        last, as_of = night(benchmark, labels), AS_OF + dt.timedelta(days=days)
        benchmark, tonight = segmented(customers(values), settings, last, as_of)
        moved = labels.join(tonight, on="customer_id", suffix="_tonight")
        assert (moved["segment_id"] != moved["segment_id_tonight"]).mean() < 0.02
        assert set(tonight["segment_id"]) == set(labels["segment_id"])
        assert benchmark.filter("chosen")["kept_from"].to_list() == [last.as_of]
        labels = tonight


def test_other_segments_are_taken_once_they_are_clearly_better() -> None:
    values, kinds = planted()
    settings = only("KMeans")
    blurred = np.where(kinds[:, None] < 2, [[5, 100, 2]], [[60, 4000, 22]]) + np.arange(len(kinds))[:, None] % 7
    benchmark, labels = segmented(customers(blurred), settings)
    assert benchmark.filter("chosen")["n_clusters"].item() == 2
    tonight, placed = segmented(customers(values), settings, night(benchmark, labels), NEXT)
    chosen = tonight.row(by_predicate=pl.col("chosen"), named=True)
    assert (chosen["n_clusters"], chosen["kept_from"]) == (4, None)
    assert adjusted_rand_score(kinds, placed["segment"]) > 0.99


def test_between_two_races_the_segments_in_use_are_carried_on_and_judged_anew() -> None:
    values, kinds = planted()
    settings = only("KMeans", min_cluster_share=0.05)
    benchmark, labels = segmented(customers(values), settings)
    race = stamped(benchmark, AS_OF, made_by(settings, 0))
    later = race.with_columns(as_of=pl.lit(NEXT))

    def tonight(rows: np.ndarray, as_of: dt.date, ids: list[str] | None = None) -> pl.DataFrame | None:
        these = points(feature_matrix(customers(rows, ids).lazy(), settings), night(benchmark, labels))
        return between_races(race if as_of == AS_OF else later, these, SHOP, as_of, settings, 0)

    assert_frame_equal(tonight(values, AS_OF), race)
    same = tonight(values, NEXT)
    assert_frame_equal(same.filter(~pl.col("chosen")), later.filter(~pl.col("chosen")))
    used = same.row(by_predicate=pl.col("chosen"), named=True)
    assert used["silhouette"] == pytest.approx(benchmark.filter("chosen")["silhouette"].item())
    assert (used["kept_from"], used["trained_as_of"], used["n_clusters"]) == (AS_OF, AS_OF, 4)

    moved = values + np.where((kinds == 1)[:, None], (values[kinds == 0].mean(0) - values[kinds == 1].mean(0)) * 0.5, 0)
    nearer = tonight(moved, NEXT)
    assert nearer is not None
    assert nearer.filter("chosen")["silhouette"].item() < used["silhouette"] - 0.02
    stays = np.flatnonzero((kinds != 1) | (np.arange(len(kinds)) == np.argmax(kinds == 1)))
    ids = labels["customer_id"].gather(stays).to_list()
    assert tonight(values[stays], NEXT, ids) is None, "a segment that is too small does not wait for the next race"


@pytest.mark.parametrize(("in_common", "is_same"), [(1, False), (9, False), (11, True)])
def test_an_identity_is_carried_over_by_a_real_overlap_only(in_common: int, is_same: bool) -> None:
    values, kinds = planted()
    frame = customers(values)
    # Last night's one segment: some of tonight's topmost, and otherwise customers who are gone.
    stayed = frame["customer_id"].to_numpy()[kinds == 3][:in_common].tolist()
    gone = [f"gone {i}" for i in range(20 - in_common)]
    before = pl.DataFrame({"customer_id": stayed + gone, "segment": 1, "segment_id": "2024-01-01/1", "distance": 0.5})
    last = LastNight(AS_OF, "Agglomerative", "k 9", before)
    _, labels = segmented(frame, only("KMeans"), last, NEXT)
    assert ("2024-01-01/1" in set(labels["segment_id"])) == is_same
