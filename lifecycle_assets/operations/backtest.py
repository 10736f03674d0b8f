"""A backtest of one shop, run in this process, and what it found."""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

from lifecycle_assets import definitions
from lifecycle_assets.automation import BACKTEST
from lifecycle_assets.definitions import Home
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.models.backtest import SCORES, Backtest, origins
from lifecycle_assets.operations.homes import list_reports, open_instance
from lifecycle_assets.settings import as_of_default


@dataclass(frozen=True)
class BacktestResult:
    """How good each score was: the rows of models.backtest, and the page that shows them."""

    shop: str
    rows: list[dict[str, Any]]
    reports: list[str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        told = [row for row in self.rows if row["metric"] == SCORES[row["model"]][2]]
        lines = [f"{'month end':<12}{'score':<34}{'metric':<12}{'value':>10}{'simple':>10}  95 % interval"]
        for row in sorted(told, key=lambda row: (row["model"], row["target"], row["origin"])):
            name = f"{row['model']}, {row['target']}"
            if row["value"] is None:
                lines.append(f"{row['origin']!s:<12}{name:<34}{row['note']}")
                continue
            span = "" if row["lo"] is None else f"  {row['lo']:.4g} to {row['hi']:.4g}"
            lines.append(
                f"{row['origin']!s:<12}{name:<34}{row['metric']:<12}{row['value']:>10.4g}{row['simple']:>10.4g}{span}"
            )
        return "\n".join([*lines, "", *(f"  report   {path}" for path in self.reports)])


def run_backtest(home: Home, shop: str, first: str, last: str) -> BacktestResult:
    """Run the backtest of the month ends from `first` to `last` (YYYY-MM; empty: the last twelve). Raises LifecycleError where
    it fails, saying why; months that are done are kept for the next try."""
    settings = home.shop(shop)
    as_of = as_of_default(settings, dt.datetime.now(dt.UTC))
    origins(first, last, as_of)
    defs = definitions.build_defs(home)
    resources = definitions.build_resources(home)
    if resources["lake"].scan(OrderLines, shop).limit(1).collect().is_empty():
        raise LifecycleError(f"{shop}: no order lines have been read yet. First: lifecycle run --shop {shop}")
    config = {"loggers": {"console": {}}, "ops": {"models__backtest": {"config": {"first": first, "last": last}}}}
    with resources["lake"].lock(shop, "run"), open_instance(home) as instance:
        result = defs.resolve_job_def(BACKTEST).execute_in_process(
            instance=instance, partition_key=shop, run_config=config, raise_on_error=False
        )
        night = resources["nights"].of_run(instance, result.run_id)
    if not result.success:
        failures = [event for event in result.filter_events(lambda event: event.is_step_failure) if event.step_key]
        raise LifecycleError("; ".join(definitions.cause(event.step_failure_data.error) for event in failures))
    rows = resources["lake"].scan(Backtest, shop).collect()
    reports = [row for row in list_reports(home, shop).rows if row["as_of"] == str(night.as_of)]
    pages = [row["path"] for row in reports if row["report"].startswith(BACKTEST)]
    return BacktestResult(shop, rows.to_dicts(), pages)
