"""The reports as Dagster assets: wiring only.

Here belong which tables a report reads, where it is written, and what of it the Dagster UI shows. What a report says
stands in the modules beside this one.
"""

import time
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from lifecycle_assets.night import night_of
from lifecycle_assets.reports import backtest as of_backtest
from lifecycle_assets.reports import dictionary as of_dictionary
from lifecycle_assets.reports import experiment as of_experiments
from lifecycle_assets.reports import forecast as of_forecast
from lifecycle_assets.reports import lifecycle as of_lifecycle
from lifecycle_assets.reports import segmentation as of_segmentation
from lifecycle_assets.reports.rephrasing import rephrased
from lifecycle_assets.reports.report import in_languages
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.wiring import SHOPS, picture, reads

SHOWN = 8  # charts on the asset's page


def _report_asset(made: Any, description: str) -> dg.AssetsDefinition:
    """The asset of a report module: NAME, READS, facts(tables, as_of, settings) and report(facts, ...)."""

    @dg.asset(
        key=["reports", made.NAME],
        group_name="reports",
        description=description,
        kinds={"html", "pdf"},
        partitions_def=SHOPS,
        required_resource_keys={"nights", "report_store", "writers"},
        ins=reads(*made.READS),
    )
    def write(context: dg.AssetExecutionContext, **frames: pl.LazyFrame) -> dg.MaterializeResult:
        return _write(context, made, frames)

    return write


def _write(context: dg.AssetExecutionContext, made: Any, frames: Mapping[str, pl.LazyFrame]) -> dg.MaterializeResult:
    """Write the report in each of the shop's languages; that in the shop's own is shown on the asset."""
    started = time.perf_counter()
    night = night_of(context)
    languages = night.settings.reports.languages
    facts = made.facts(Tables(frames), night.as_of, night.settings)
    reports = in_languages(
        lambda language: made.report(facts, night.shop, night.as_of, night.settings, language), languages
    )
    if writer := context.resources.writers.of(night.settings.reports.writer):
        worded = {language: rephrased(report, writer) for language, report in reports.items()}
        reports = {language: done.report for language, done in worded.items()}
        context.add_output_metadata({"sentences worded anew": sum(done.used for done in worded.values())})
        for problem in sorted({done.problem for done in worded.values() if done.problem}):
            context.log.warning(f"sentences stay as they are: {problem}")
    pages = context.resources.report_store.put(*reports.values())
    paths = dict(zip(languages, pages, strict=True))
    own = night.settings.language if night.settings.language in languages else languages[0]
    report = reports[own]
    return dg.MaterializeResult(
        metadata={
            "headline": report.headline,
            "answers": dg.MetadataValue.md("\n\n".join(report.summary)),
            "path": dg.MetadataValue.path(str(paths[own])),
            "files": dg.MetadataValue.md(
                "\n".join(f"- `{file}`" for path in pages for file in sorted(path.parent.glob(f"{path.stem}.*")))
            ),
            "as_of": str(night.as_of),
            "seconds": round(time.perf_counter() - started, 3),
            **{
                f"chart {figure.id}": picture(figure.picture.wide, str(figure.title))
                for figure in report.figures[:SHOWN]
            },
        }
    )


lifecycle = _report_asset(
    of_lifecycle,
    "What changed, why, what goes out tonight and what it is expected to earn: one page for a marketing lead.",
)
segmentation = _report_asset(
    of_segmentation,
    "Who the groups of customers are, what each brings, who of them is slipping, and what to do about it.",
)
forecast = _report_asset(
    of_forecast,
    "What the coming months are expected to bring, how sure that is, what to do about it and what to watch.",
)
experiments = _report_asset(
    of_experiments,
    "What each experiment has shown, what of it may be believed, and when to look again: one page for marketing and finance.",
)
backtest_page = _report_asset(
    of_backtest,
    "How good each score was, month by month, beside a simple rule: one page for a marketing lead.",
)
data_dictionary = _report_asset(
    of_dictionary,
    "What every table and every column means, with units, keys and a first query: a reference for those who read the tables.",
)
