"""Was each customer worth what models.clv_forecast said?

The value of the months after a past day, by the definition that models.clv_evaluation races by. The simple rule is spend so far
per day, carried on. A horizon that has not passed by the end of the data is left out.
"""

import datetime as dt
from collections.abc import Iterator

import polars as pl

from lifecycle_assets.models.backtest_figures import of_amounts
from lifecycle_assets.models.backtest_known import Judged, Known, Scores, numbers, of_profiles, unsettled
from lifecycle_assets.models.btyd_value import DAYS_PER_MONTH
from lifecycle_assets.models.clv_candidates import BASELINE, buyers, forecasts, outcome
from lifecycle_assets.models.clv_forecast import ClvForecast

JUDGED = ("came", "expected_value", "expected_value_low", "expected_value_high", "rule")


def clv(then: Scores, origin: dt.date, known: Known) -> Iterator[Judged]:
    rows = of_profiles(then[ClvForecast.table], known)
    for months in rows.select(pl.col("horizon_months").unique().sort()).collect().to_series():
        until = origin + dt.timedelta(days=round(months * DAYS_PER_MONTH))
        if until > known.settled:
            yield unsettled(f"{months} months", until, known.settled)
            continue
        told = rows.filter(pl.col("horizon_months") == months).collect()
        basis, customer = told["value_basis"][0], known.settings.customer
        people = buyers(known.take(origin), basis, customer)
        came = outcome(people, known.take(until), origin, months, basis)
        rule = forecasts([BASELINE], people, None, [months], customer, known.settings.seed)[BASELINE]
        facts = people.features.select("customer_id", came=came.value, rule=rule.value[:, 0])
        judged = told.join(facts, on="customer_id").sort("customer_id")
        yield Judged(
            f"{months} months",
            until,
            list(
                of_amounts(
                    *numbers(judged, "came", "expected_value", "expected_value_low", "expected_value_high", "rule")
                )
            ),
        )
