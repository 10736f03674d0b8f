"""The segmentation report: who the groups of customers are, what each brings, who of them is slipping, what to do about it.

Beside the groups and their tree (see segments.py) it tells which ways of grouping competed, where each group lies, what
hides inside it, who moved since the night before, what goes with what its customers buy, and how well forecasts of value
did. That more customers moved one way than the other is said only where the difference is larger than chance would give
(difference of two Poisson counts, 95 %).
"""

import datetime as dt
import math

import polars as pl

from lifecycle_assets.confidence import CONFIDENCE, Z
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.hashing import digests
from lifecycle_assets.models.cross_sell import CrossSellMatrix
from lifecycle_assets.models.dendrogram import DendrogramBenchmark
from lifecycle_assets.models.segment_drift import SegmentDrift
from lifecycle_assets.models.segmentation import LEAST_CUSTOMERS, ONE_SEGMENT, SegmentationBenchmark
from lifecycle_assets.models.segmentation_centroids import SegmentationCentroids
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.models.subsegment_profiles import SubsegmentProfiles
from lifecycle_assets.reports import report as reports
from lifecycle_assets.reports import segments, value
from lifecycle_assets.reports.facts import Comparison, Fact, Facts, Row, part
from lifecycle_assets.reports.products import tied
from lifecycle_assets.reports.report import Report
from lifecycle_assets.reports.sections import segmentation as told
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

NAME = "segmentation"
FEW_MOVES = 10
PAYLOAD = "raw_payload"
UNITS = {"currency": "currency", "share": "share", "share 0..1": "share"}

READS = tuple(
    dict.fromkeys(
        (
            *segments.READS,
            *value.READS,
            SegmentationCentroids,
            SubsegmentProfiles,
            SegmentDrift,
            DendrogramBenchmark,
            CrossSellMatrix,
            SegmentationLabels,
            CustomerFeatures,
        )
    )
)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    """Every number of the report."""
    found = segments.facts(tables, as_of, settings)
    people = found.tables["personas"]
    found |= value.facts(tables, as_of, settings)
    found |= _setting(people, as_of, settings) | _features(tables[CustomerFeatures], settings)
    found |= _race(tables[SegmentationBenchmark])
    found |= _centroids(tables[SegmentationCentroids])
    found |= _subsegments(tables[SubsegmentProfiles])
    found |= _drift(tables[SegmentDrift], people)
    found |= _companions(tables[CrossSellMatrix], people)
    found |= _tree(tables[DendrogramBenchmark])
    if settings.reports.segmentation_payload:
        found |= Facts([], {PAYLOAD: _payload(tables, settings)})
    return found


def report(facts: Facts, shop: str, as_of: dt.date, settings: Shop, language: str) -> Report:
    """The report on the facts in a language. The keys of its own are its parts as prose, the findings one by one, the numbers
    of each group and, where the setting asks for them, the customers with hashed ids."""
    shown = Facts(facts.facts.values(), {name: rows for name, rows in facts.tables.items() if name != PAYLOAD})
    tell = reports.teller(shown, settings, language)
    sections = told.sections(tell)
    page = reports.page(
        tell,
        NAME,
        headline=told.headline(tell),
        answers=told.answers(tell),
        tiles=told.tiles(tell),
        sections=sections,
    )
    own = {"generated_on": as_of.isoformat(), **told.own(tell, sections)}
    if PAYLOAD in facts.tables:
        own[PAYLOAD] = facts.tables[PAYLOAD]
    return Report(NAME, shop, as_of, settings.currency, page, shown, own)


def _setting(people: list[Row], as_of: dt.date, settings: Shop) -> Facts:
    """Facts `as_of`, `grouped` (all customers), `slipping` (at risk or lapsed) and `.share`, `persona.<number>.stake` (what
    those at risk have spent, at the group's mean), and the settings that the text quotes."""
    customers = sum(row["customers"] for row in people)
    slipping = sum(row["at_risk"] + row["lapsed"] for row in people)
    segmentation, stage = settings.segmentation, settings.customer.stage
    facts = [
        Fact("as_of", as_of, "date"),
        Fact("grouped", customers, "customers", customers),
        Fact("slipping", slipping, "customers", customers),
        Fact("slipping.share", part(slipping, customers), "share", customers),
        Fact("setting.least", LEAST_CUSTOMERS, "customers"),
        Fact("setting.smallest", segmentation.min_cluster_share, "share"),
        Fact("setting.noise", segmentation.max_noise_share, "share"),
        Fact("setting.at_risk_factor", stage.at_risk_factor, "times"),
        Fact("setting.lapsed_factor", stage.lapsed_factor, "times"),
        Fact("setting.confidence", CONFIDENCE, "share"),
        *(
            Fact(f"persona.{row['cluster_id']}.stake", row["at_risk"] * row["spend"], "currency", row["at_risk"])
            for row in people
        ),
    ]
    return Facts(facts)


def _features(customer_features: pl.LazyFrame, settings: Shop) -> Facts:
    """Table `features`: what the groups rest on, without what is the same for all customers, as are the categories bought from
    in a shop whose data names none."""
    names = settings.segmentation.features
    values = customer_features.select(pl.col(names).drop_nulls().n_unique()).collect(engine="streaming").row(0)
    telling = [name for name, count in zip(names, values, strict=True) if count > 1]
    return Facts([], {"features": [{"feature": name} for name in telling or names]})


def _race(benchmark: pl.LazyFrame) -> Facts:
    """Facts `race.tried`, `race.eligible`, `race.kept` (the night whose groups are carried on); table `families`: the chosen or
    else the best candidate of each family."""
    tried = benchmark.filter(pl.col("family") != ONE_SEGMENT)
    columns = ("family", "n_clusters", "silhouette", "davies_bouldin", "stability", "noise_share", "eligible", "chosen")
    rows = (
        tried.sort(
            "chosen", "eligible", "silhouette", "parameter", descending=[True, True, True, False], nulls_last=True
        )
        .unique("family", keep="first", maintain_order=True)
        .select(*columns)
        .collect()
        .to_dicts()
    )
    n, eligible = tried.select(pl.len(), pl.col("eligible").sum()).collect().row(0)
    kept = benchmark.filter("chosen").select("kept_from").collect()
    facts = [Fact("race.tried", n, "candidates"), Fact("race.eligible", int(eligible), "candidates", n)]
    if kept.height and kept.item() is not None:
        facts.append(Fact("race.kept", kept.item(), "date"))
    return Facts(facts, {"families": rows})


def _centroids(centroids: pl.LazyFrame) -> Facts:
    """Facts `centroid.value` and `centroid.of_all` of the group and feature furthest from the mean of all; table `centroids`,
    the furthest marked, without the features in which all groups are alike."""
    rows = (
        centroids.sort("segment", "feature")
        .select("segment", "feature", "value", "of_all", "scaled")
        .with_columns(pl.col("value", "of_all", "scaled").round(6))
        .filter((pl.col("scaled") != 0).any().over("feature"))
        .collect()
        .to_dicts()
    )
    furthest = max(rows, key=lambda row: abs(row["scaled"]), default=None)
    rows = [{**row, "unit": unit_of(row["feature"]), "furthest": row is furthest} for row in rows]
    if furthest is None:
        return Facts([], {"centroids": rows})
    unit = unit_of(furthest["feature"])
    facts = [Fact(f"centroid.{name}", furthest[name], unit) for name in ("value", "of_all")]
    return Facts(facts, {"centroids": rows})


def _subsegments(profiles: pl.LazyFrame) -> Facts:
    """Facts `subsegments` (groups that fall into smaller ones), `subsegment.<code>.share` (of the group), and of the feature
    that sets it apart `.mean` and `.of_group`; table `subsegments`."""
    rows = (
        profiles.drop_nulls("feature")
        .sort("segment", "subsegment")
        .select(
            "segment",
            "code",
            "feature",
            customers="n_customers",
            share=pl.col("share_of_segment").round(6),
            mean=pl.col("feature_mean").round(6),
            of_group=pl.col("segment_mean").round(6),
        )
        .collect()
        .to_dicts()
    )
    facts = [Fact("subsegments", len({row["segment"] for row in rows}), "segments")]
    for row in rows:
        unit = unit_of(row["feature"])
        facts += [
            Fact(f"subsegment.{row['code']}.{name}", row[name], shown, row["customers"])
            for name, shown in (("share", "share"), ("mean", unit), ("of_group", unit))
        ]
    return Facts(facts, {"subsegments": rows})


def _drift(drift: pl.LazyFrame, people: list[Row]) -> Facts:
    """Facts `drift` (customers who moved), `.share`, `.since`, `.up` and `.down` (to a group of higher or lower mean spend; the
    one against the other), `flow.<place>`; table `flows`: then and now as tonight's numbers, null for a group that is gone."""
    numbers = pl.LazyFrame(
        {"from_segment_id": [row["segment_id"] for row in people], "then": [row["cluster_id"] for row in people]},
        {"from_segment_id": pl.String, "then": pl.Int64},
    )
    rows = (
        drift.join(numbers, on="from_segment_id", how="left")
        .group_by("then", pl.col("to_segment").alias("now"))
        .agg(pl.len().cast(pl.Int64).alias("customers"), pl.col("since").max())
        .sort("customers", "then", "now", descending=[True, False, False], nulls_last=True)
        .collect()
        .to_dicts()
    )
    moved = sum(row["customers"] for row in rows)
    everyone = sum(row["customers"] for row in people)
    between = [row for row in rows if row["then"] and row["now"]]
    up = sum(row["customers"] for row in between if row["now"] > row["then"])
    down = sum(row["customers"] for row in between if row["now"] < row["then"])
    facts = [
        Fact("drift", moved, "customers", everyone),
        Fact("drift.share", part(moved, everyone), "share", everyone),
        Fact("drift.up", up, "customers", moved, {"down": _net(up, down)}),
        Fact("drift.down", down, "customers", moved),
    ]
    if rows:
        facts.append(Fact("drift.since", max(row["since"] for row in rows), "date"))
    facts += [Fact(f"flow.{place}", row["customers"], "customers", moved) for place, row in enumerate(rows, start=1)]
    return Facts(facts, {"flows": [{name: row[name] for name in ("then", "now", "customers")} for row in rows]})


def _net(up: int, down: int) -> Comparison:
    spread = Z * math.sqrt(up + down)
    if up + down < FEW_MOVES:
        return Comparison(down, up - down, "few")
    return Comparison(down, up - down, "rising" if up - down > spread else "falling" if down - up > spread else "flat")


def _companions(matrix: pl.LazyFrame, people: list[Row]) -> Facts:
    """Facts `companion.<number>.lift` with bounds and `.together` (share of the baskets), for the category that most often
    goes with a group's most telling one; table `companions` (cluster_id, category, companion)."""
    categories = [row["category"] for row in people if row["category"] is not None]
    best = {
        row["item_i"]: row
        for row in tied(matrix.filter(level="category"))
        .filter(pl.col("item_i").is_in(categories))
        # The most baskets that chance does not explain, rather than the highest lift, which rare pairs have.
        .sort(pl.col("support_ij") * (1 - 1 / pl.col("lift_lo")), "item_j", descending=[True, False])
        .unique("item_i", keep="first", maintain_order=True)
        .to_dicts()
    }
    facts, rows = [], []
    for person in people:
        pair = best.get(person["category"])
        if pair is None:
            continue
        prefix, n = f"companion.{person['cluster_id']}", pair["support_i"]
        lift, lo, hi = (round(pair[name], 6) for name in ("lift", "lift_lo", "lift_hi"))
        facts += [
            Fact(f"{prefix}.lift", lift, "ratio", n, lo=lo, hi=hi),
            Fact(f"{prefix}.together", part(pair["support_ij"], n), "share", n),
        ]
        rows.append({"cluster_id": person["cluster_id"], "category": pair["item_i"], "companion": pair["item_j"]})
    return Facts(facts, {"companions": rows})


def _tree(benchmark: pl.LazyFrame) -> Facts:
    """Facts `tree.silhouette` of the cut and `tree.tried`, where the tree was cut."""
    rows = benchmark.select("silhouette", "chosen", n=pl.len()).filter("chosen").collect()
    if rows.is_empty():
        return Facts([])
    return Facts([Fact("tree.silhouette", rows["silhouette"][0], "ratio"), Fact("tree.tried", rows["n"][0], "cuts")])


def _payload(tables: Tables, settings: Shop) -> list[Row]:
    """The customers, their group and the features it rests on, sorted by a hash that replaces the id: SHA-256 under the salt of
    the settings."""
    features = tables[CustomerFeatures].select(
        "customer_id", pl.col(settings.segmentation.features).cast(pl.Float64).round(4)
    )
    rows = tables[SegmentationLabels].select("customer_id", "segment", "segment_id").join(features, on="customer_id")
    frame = rows.collect()
    hashed = digests(frame, ["customer_id"], settings.reports.segmentation_payload_salt).alias("customer")
    return frame.select(hashed, pl.exclude("customer_id")).sort("customer").to_dicts()


def unit_of(feature: str) -> str:
    """How a number of the feature is shown: a category's is the share of its buyers."""
    if feature not in CustomerFeatures.columns:
        return "share"
    return UNITS.get(CustomerFeatures.unit(feature) or "", "expected")
