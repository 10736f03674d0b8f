"""The nightly lifecycle report: what changed, why, what goes out tonight, what it is expected to earn.

Facts come from the tables, topic by topic; sentences and charts from the facts. A shop without a purchase, or without enough
of them, gets a report that says so.
"""

import datetime as dt
from collections.abc import Callable

from lifecycle_assets.reports import (
    churn,
    customers,
    experiments,
    first_screen,
    forecasts,
    health,
    last_day,
    prices,
    products,
    quality,
    render,
    sales,
    segments,
    tonight,
    value,
)
from lifecycle_assets.reports import report as reports
from lifecycle_assets.reports.facts import Fact, Facts
from lifecycle_assets.reports.sections import churn as churn_section
from lifecycle_assets.reports.sections import customers as customers_section
from lifecycle_assets.reports.sections import experiments as experiments_section
from lifecycle_assets.reports.sections import forecasts as forecasts_section
from lifecycle_assets.reports.sections import health as health_section
from lifecycle_assets.reports.sections import notes as notes_section
from lifecycle_assets.reports.sections import prices as prices_section
from lifecycle_assets.reports.sections import products as products_section
from lifecycle_assets.reports.sections import quality as quality_section
from lifecycle_assets.reports.sections import sales as sales_section
from lifecycle_assets.reports.sections import segments as segments_section
from lifecycle_assets.reports.sections import tonight as tonight_section
from lifecycle_assets.reports.sections import value as value_section
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.reports.telling import Teller
from lifecycle_assets.settings import Shop

NAME = "lifecycle"
LOWEST_SCORE = 1
# Each has READS, the contracts of the tables that it reads, and facts(tables, as_of, settings).
TOPICS = (
    sales,
    last_day,
    customers,
    value,
    churn,
    segments,
    forecasts,
    products,
    prices,
    tonight,
    experiments,
    health,
    quality,
)
SECTIONS: tuple[Callable[[Teller], render.Section], ...] = (
    sales_section.sales,
    tonight_section.tonight,
    tonight_section.held,
    experiments_section.experiments,
    customers_section.stages,
    customers_section.rfm,
    customers_section.loyalty,
    value_section.value,
    churn_section.churn,
    segments_section.segments,
    forecasts_section.forecasts,
    products_section.cross_sell,
    prices_section.prices,
    health_section.health,
    quality_section.quality,
    notes_section.reading,
    notes_section.glossary,
)
READS = tuple(dict.fromkeys(contract for topic in TOPICS for contract in topic.READS))


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    """Every number of the report, computed from the tables as of the end of `as_of`; see the topics for the facts."""
    found = _thresholds(settings)
    for topic in TOPICS:
        found |= topic.facts(tables, as_of, settings)
    return found


def report(facts: Facts, shop: str, as_of: dt.date, settings: Shop, language: str) -> reports.Report:
    """The report on the facts in a language; consent that the settings assume is said in front."""
    tell = reports.teller(facts, settings, language)
    page = reports.page(
        tell,
        "report",
        headline=first_screen.headline(tell),
        answers=first_screen.answers(tell),
        notices=first_screen.notices(tell),
        tiles=first_screen.tiles(tell),
        sections=[section(tell) for section in SECTIONS],
    )
    return reports.Report(NAME, shop, as_of, settings.currency, page, facts)


def _thresholds(settings: Shop) -> Facts:
    """The settings that the glossary quotes."""
    stage, segments, bins = settings.customer.stage, settings.customer.loyalty.segments, settings.customer.rfm.bins
    values = {
        "new_days": (stage.new_days, "days"),
        "won_back_days": (stage.won_back_days, "days"),
        "at_risk_factor": (stage.at_risk_factor, "times"),
        "lapsed_factor": (stage.lapsed_factor, "times"),
        "platinum": (segments.platinum, "ratio"),
        "gold": (segments.gold, "ratio"),
        "silver": (segments.silver, "ratio"),
        "bronze": (segments.bronze, "ratio"),
        "lowest": (LOWEST_SCORE, "score"),
        "best_total": (3 * bins, "score"),
        "champion_total": (3 * bins - 2, "score"),
    }
    return Facts(Fact(f"setting.{name}", value, unit) for name, (value, unit) in values.items())
