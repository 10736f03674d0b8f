"""The reports as Dagster assets: wiring only.

Here belong which tables a report reads, where it is written, and what of it the Dagster UI shows. What a report says
stands in the modules beside this one.
"""

import time

import dagster as dg
import polars as pl

from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.loyalty import CustomerLoyalty
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.features.stage import LifecycleStage, stage_timeline
from lifecycle_assets.inputs.contracts import InputReads, OrderLines, Quarantine
from lifecycle_assets.models.backtest import Backtest
from lifecycle_assets.models.clv_evaluation import ClvEvaluation
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.dendrogram import Dendrogram, DendrogramLeaves, tree_of
from lifecycle_assets.models.dendrogram_figure import cut_of, dendrogram_svg
from lifecycle_assets.models.segment_profiles import SegmentProfiles
from lifecycle_assets.models.segmentation import SegmentationBenchmark
from lifecycle_assets.night import night_of
from lifecycle_assets.reports.backtest import backtest_facts, backtest_report
from lifecycle_assets.reports.lifecycle import Tables, lifecycle_facts, lifecycle_report
from lifecycle_assets.wiring import SHOPS, picture, reads

SHOWN = ("weekly", "stages", "rfm", "calibration", "personas", "sends", "held")
READ = (
    OrderLines,
    InputReads,
    Quarantine,
    Orders,
    CustomerFeatures,
    CustomerLoyalty,
    CustomerRfm,
    LifecycleStage,
    ClvForecast,
    ClvEvaluation,
    SegmentProfiles,
    SegmentationBenchmark,
    Dendrogram,
    DendrogramLeaves,
    Decisions,
    Ledger,
)


@dg.asset(
    key=["reports", "lifecycle"],
    group_name="reports",
    description="What changed, why, what goes out tonight and what it is expected to earn: one page for a marketing lead.",
    kinds={"html"},
    partitions_def=SHOPS,
    required_resource_keys={"nights", "report_store"},
    ins=reads(*READ),
)
def lifecycle(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    input_reads: pl.LazyFrame,
    quarantine: pl.LazyFrame,
    orders: pl.LazyFrame,
    customer_features: pl.LazyFrame,
    customer_loyalty: pl.LazyFrame,
    customer_rfm: pl.LazyFrame,
    lifecycle_stage: pl.LazyFrame,
    clv_forecast: pl.LazyFrame,
    clv_evaluation: pl.LazyFrame,
    segment_profiles: pl.LazyFrame,
    segmentation_benchmark: pl.LazyFrame,
    dendrogram: pl.LazyFrame,
    dendrogram_leaves: pl.LazyFrame,
    decisions: pl.LazyFrame,
    ledger: pl.LazyFrame,
) -> dg.MaterializeResult:
    started = time.perf_counter()
    night = night_of(context)
    settings = night.settings
    tables = Tables(
        order_lines=order_lines,
        input_reads=input_reads,
        quarantine=quarantine,
        orders=orders,
        customer_features=customer_features,
        customer_loyalty=customer_loyalty,
        customer_rfm=customer_rfm,
        lifecycle_stage=lifecycle_stage,
        timeline=stage_timeline(orders, night.as_of, settings.customer.stage).lazy(),
        clv_forecast=clv_forecast,
        clv_evaluation=clv_evaluation,
        segment_profiles=segment_profiles,
        segmentation_benchmark=segmentation_benchmark,
        decisions=decisions,
        ledger=ledger,
    )
    facts = lifecycle_facts(tables, night.as_of, settings)
    tree = tree_of(dendrogram)
    drawing = dendrogram_svg(cut_of(tree, dendrogram_leaves.collect())) if len(tree) else ""
    report = lifecycle_report(facts, night.shop, night.as_of, settings, settings.routing.assume_consent, drawing)
    path = context.resources.report_store.put(night.shop, night.as_of, "lifecycle", report.html, report.json)
    charts = {
        f"chart {figure.id}": picture(figure.picture.wide, str(figure.title))
        for figure in report.figures
        if figure.id in SHOWN
    }
    return dg.MaterializeResult(
        metadata={
            "headline": dg.MetadataValue.md("\n\n".join([f"**{report.headline}**", *report.summary])),
            "path": dg.MetadataValue.path(str(path)),
            "as_of": str(night.as_of),
            "seconds": round(time.perf_counter() - started, 3),
            **charts,
        }
    )


@dg.asset(
    key=["reports", "backtest"],
    group_name="reports",
    description="How good each score was, month by month, beside a simple rule: one page for a marketing lead.",
    kinds={"html"},
    partitions_def=SHOPS,
    required_resource_keys={"nights", "report_store"},
    ins=reads(Backtest),
)
def backtest_page(context: dg.AssetExecutionContext, backtest: pl.LazyFrame) -> dg.MaterializeResult:
    night = night_of(context)
    facts = backtest_facts(backtest.collect(), night.as_of)
    report = backtest_report(facts, night.shop, night.as_of, night.settings)
    path = context.resources.report_store.put(night.shop, night.as_of, "backtest", report.html, report.json)
    return dg.MaterializeResult(
        metadata={
            "headline": dg.MetadataValue.md("\n\n".join([f"**{report.headline}**", *report.summary])),
            "path": dg.MetadataValue.path(str(path)),
            "as_of": str(night.as_of),
            **{f"chart {figure.id}": picture(figure.picture.wide, str(figure.title)) for figure in report.figures},
        }
    )
