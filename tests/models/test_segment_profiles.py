"""What is said of a segment is true of its customers."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from segment_shop import AS_OF, customers, table
from sklearn.feature_extraction.text import TfidfTransformer

from lifecycle_assets.features.clv_inputs import CustomerClvInputs
from lifecycle_assets.features.customer_categories import CustomerCategories
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.segment_profiles import SegmentProfiles, segment_profiles
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.settings import Segmentation

IDS = [f"c{i:05d}" for i in range(40)]
SEGMENTS = np.repeat([1, 2, 3, 0], [20, 10, 8, 2])
VALUES = np.array([[1, 10, 1], [4, 100, 2], [20, 500, 5], [2, 60, 1]], float)[np.repeat([0, 1, 2, 3], [20, 10, 8, 2])]


def _categories(seed: int) -> pl.DataFrame:
    """What each customer bought of eight categories, most of them a few."""
    rng = np.random.default_rng(seed)
    lines = rng.poisson(0.9, (40, 8))
    who, which = np.nonzero(lines)
    return table(
        CustomerCategories,
        customer_id=[IDS[i] for i in who],
        category=[f"category {i}" for i in which],
        lines=lines[who, which],
        first_date=[AS_OF - dt.timedelta(days=int(i)) for i in which],
    )


def _profiles(
    categories: pl.DataFrame,
    settings: Segmentation | None = None,
    segments: np.ndarray = SEGMENTS,
    values: np.ndarray = VALUES,
    churned: list[bool | None] = [i < 15 for i in range(40)],  # noqa: B006
) -> pl.DataFrame:
    made = segment_profiles(
        table(
            SegmentationLabels, customer_id=IDS, segment=segments, segment_id=pl.Series(segments).cast(pl.String)
        ).lazy(),
        customers(values, IDS, favourite_channel=["web"] * 25 + ["store"] * 15).lazy(),
        table(CustomerClvInputs, customer_id=IDS, churned=pl.Series(churned, dtype=pl.Boolean)).lazy(),
        table(LifecycleStage, customer_id=IDS, stage=["lapsed"] * 15 + ["active"] * 25).lazy(),
        categories.lazy(),
        table(ClvForecast, customer_id=IDS, horizon_months=12, expected_value=np.arange(40.0)).lazy(),
        settings or Segmentation(),
    )
    SegmentProfiles.require(made)
    return made


def test_figures_are_those_of_the_segments_customers() -> None:
    made = _profiles(_categories(1))
    assert made["cluster_id"].to_list() == [0, 1, 2, 3]
    assert made["n_customers"].to_list() == [2, 20, 10, 8]
    assert made["avg_spend"].to_list() == [60, 10, 100, 500]
    assert made["share_of_revenue_pct"].to_list() == pytest.approx([100 * x / 5320 for x in (120, 200, 1000, 4000)])
    assert made["churn_risk"].to_list() == [0, 0.75, 0, 0]
    assert made["avg_clv_12m"].to_list() == [38.5, 9.5, 24.5, 33.5]
    assert made["stage_mix"].to_list()[1] == "lapsed 75 %, active 25 %"
    # Of the second segment half of the customers prefer each: the first by name.
    assert made["best_channel"].to_list() == ["store", "web", "store", "store"]
    assert made["best_channel_share"].to_list() == [1, 1, 0.5, 1]
    stages = made.select("n_new", "n_active", "n_won_back", "n_at_risk", "n_lapsed")
    assert stages.rows() == [(0, 2, 0, 0, 0), (0, 5, 0, 0, 15), (0, 10, 0, 0, 0), (0, 8, 0, 0, 0)]
    assert made["avg_margin"].to_list() == [None] * 4


@pytest.mark.parametrize("seed", range(5))
def test_top_categories_are_by_the_tf_idf_of_scikit_learn(seed: int) -> None:
    categories = _categories(seed)
    counts = categories.pivot("category", index="customer_id", values="lines").fill_null(0).sort("customer_id")
    names = counts.columns[1:]
    weights = TfidfTransformer().fit_transform(counts.drop("customer_id").to_numpy()).toarray()
    segment = dict(zip(IDS, SEGMENTS, strict=True))
    of_row = np.array([segment[customer] for customer in counts["customer_id"]])
    made = _profiles(categories)
    for number, top in made.select("cluster_id", "top_categories").rows():
        ranked = np.argsort(-weights[of_row == number].sum(axis=0), kind="stable")
        present = [names[i] for i in ranked if weights[of_row == number].sum(axis=0)[i] > 0]
        assert top.split(", ") == present[:5]


def test_of_equal_categories_the_one_bought_first_comes_first() -> None:
    def top(days: list[dt.date]) -> str:
        bought: dict[str, list[Any]] = {
            "customer_id": [IDS[0]] * 2,
            "category": ["a", "b"],
            "lines": [2, 2],
            "first_date": days,
        }
        return _profiles(table(CustomerCategories, AS_OF, **bought))["top_categories"][1]

    days = [AS_OF, AS_OF - dt.timedelta(days=9)]
    assert (top(days), top(days[::-1])) == ("b, a", "a, b")


def test_personas_tell_the_segments_apart() -> None:
    names = _profiles(_categories(1))["name"].to_list()
    assert names[0].startswith("Unlike the others: ")
    assert names[1] == "One-time low spenders, mostly inactive"
    assert names[3] == "Frequent top spenders, mostly active"
    coded = _profiles(_categories(1)).select("how_often", "how_much", "lately", "told_apart_by")
    assert coded.row(1) == ("one_time", "low", "inactive", None)
    assert coded.row(3) == ("frequent", "top", "active", None)
    twins = np.where(SEGMENTS == 3, 3, np.arange(40) % 2 + 1)
    told = _profiles(CustomerCategories.empty(), segments=twins)
    assert told["name"].n_unique() == 3
    assert told["told_apart_by"].to_list()[:2] == ["number", "number"]


def test_unknown_churn_labels_count_neither_way() -> None:
    churned = [None if i < 10 or i >= 30 else i < 15 for i in range(40)]
    made = _profiles(_categories(1), churned=churned)
    assert made["churn_risk"].to_list() == [None, 0.5, 0, None]
    assert made["name"].to_list()[1] == "One-time low spenders, mostly inactive"


def test_a_persona_claims_no_more_than_its_figures() -> None:
    values = VALUES.copy()
    values[:11, 0], values[11:20, 0] = 1, 30  # most of the first segment bought once, on average 14 times
    values[:, 1] = np.where(SEGMENTS == 2, 0, -5)  # refunds: nobody has spent anything on balance
    names = _profiles(_categories(1), values=values)["name"].to_list()
    assert not any("top spenders" in name or "One-time" in name for name in names)
    assert all("no net spend" in name for name in names)


def test_a_category_with_a_comma_is_named_whole() -> None:
    twins = np.where(SEGMENTS == 3, 3, np.arange(40) % 2 + 1)
    bought: dict[str, list[Any]] = {
        "customer_id": IDS[:2],
        "category": ["Bread, cakes", "Milk, cheese"],
        "lines": [1, 1],
        "first_date": [AS_OF] * 2,
    }
    values = np.tile([[2.0, 50.0, 1.0]], (40, 1))
    made = _profiles(table(CustomerCategories, **bought), segments=twins, values=values)
    assert [name.split("mainly ")[-1] for name in made["name"][:2]] == ["Bread, cakes", "Milk, cheese"]
    assert made["top_category"].to_list()[:2] == ["Bread, cakes", "Milk, cheese"]
    assert made["told_apart_by"].to_list()[:2] == ["category", "category"]


def test_the_insight_follows_the_first_rule_that_holds() -> None:
    made = _profiles(_categories(1))
    assert made["insight"].to_list() == ["growth potential"] * 3 + ["retention & upsell"]
    rules = [
        {"measure": "churn_risk", "at_least": 0.5, "insight": "win back"},
        {"measure": "avg_spend", "at_most": 10, "insight": "never reached: the first rule holds"},
        {"measure": "share_of_revenue_pct", "at_least": 30, "insight": "retention & upsell"},
    ]
    told = _profiles(_categories(1), Segmentation.model_validate({"insights": rules, "otherwise": "leave"}))
    assert told["insight"].to_list() == ["leave", "win back", "leave", "retention & upsell"]


def test_without_customers_there_are_no_profiles() -> None:
    empty = (
        contract.empty().lazy() for contract in (CustomerClvInputs, LifecycleStage, CustomerCategories, ClvForecast)
    )
    nobody = customers(np.empty((0, 3))).lazy()
    assert segment_profiles(SegmentationLabels.empty().lazy(), nobody, *empty, Segmentation()).is_empty()
