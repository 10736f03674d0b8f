"""What is the shop expected to take in the coming months, how sure is that, and has anything left its forecast?

The months are those of models.forecast_revenue, the past those of raw.order_lines, the proof that of
models.forecast_evaluation, and what left its range that of models.forecast_alerts. A shop without a sale has no forecast;
the section says so.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.models.forecast_alerts import DAYS, ForecastAlerts
from lifecycle_assets.models.forecast_evaluation import COLD_START, ForecastEvaluation
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.reports import outlook
from lifecycle_assets.reports.facts import Fact, Facts
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

SHOP = "forecasts.shop"
MOST_ALERTS = 10
UNITS = {"revenue": "currency", "cost": "currency", "units": "units"}

READS = (OrderLines, ForecastRevenue, ForecastEvaluation, ForecastAlerts, Products)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    """Facts `forecasts.shop...` (see outlook), `forecasts.level.*`, `forecasts.cold`, and of the alerts
    `forecasts.alerts`, `.watched` (series held to account), `.days`; table `forecasts.alerts`, the furthest off first."""
    lines = outlook.sold(tables, as_of).select("month", "amount", date="order_date", series=pl.lit("shop"))
    begun, past = outlook.past_months(lines, as_of).get("shop", (None, {}))
    ahead = outlook.calendar_rows(tables[ForecastRevenue], ["shop"]).get("shop", [])
    race = tables[ForecastEvaluation].filter(kind="revenue", series="shop").collect()
    common = Facts([*outlook.levels(), Fact("forecasts.cold", COLD_START["revenue"], "days")])
    shop = outlook.outlook(SHOP, "currency", ahead, begun, past, as_of) | outlook.proof(SHOP, "currency", race)
    return common | shop | _alerts(tables)


def _alerts(tables: Tables) -> Facts:
    columns = ("kind", "series", "actual", "expected", "direction", "is_alert")
    watched = tables[ForecastAlerts].select(columns).collect()
    off = (pl.col("actual") - pl.col("expected")).abs() / pl.col("expected").abs()
    alerts = watched.filter("is_alert").sort(off, "kind", "series", descending=[True, False, False]).head(MOST_ALERTS)
    rows = [
        row | {"id": f"forecasts.alert.{row['kind']}.{row['series']}", "name": row["series"].partition(":")[2]}
        for row in alerts.drop("is_alert").to_dicts()
    ]
    names = outlook.product_names(tables, [row["name"] for row in rows if row["kind"] == "units"])
    facts = [
        Fact("forecasts.watched", watched.height, "series"),
        Fact("forecasts.alerts", int(watched["is_alert"].sum()), "series", watched.height),
        Fact("forecasts.alerts.days", DAYS, "days"),
    ]
    facts += [
        Fact(f"{row['id']}.{name}", row[name], UNITS[row["kind"]], DAYS)
        for row in rows
        for name in ("actual", "expected")
    ]
    return Facts(facts, {"forecasts.alerts": [row | {"name": names.get(row["name"], row["name"])} for row in rows]})
