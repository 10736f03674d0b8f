"""What will the shop spend in each of the coming months?

Costs are those of raw.costs, by type and in total; they may be negative. A candidate of their own competes, `improved`: a ridge
regression of the day's cost on weekday, holidays, promotions, and the day's number of orders. Orders of days ahead are
themselves forecast from what is known at the origin. See forecast_months.
"""

import numpy as np

from lifecycle_assets.contracts import table
from lifecycle_assets.models.forecast_candidates import CANDIDATES, Candidate
from lifecycle_assets.models.forecast_months import ForecastMonths
from lifecycle_assets.models.forecast_panel import WEEK, Panel
from lifecycle_assets.models.forecast_series import DailySeries

MIN_DAYS = 28
RIDGE = 1.0
ORDERS_BY = "ets"


@table("models.forecast_cost", needs=("raw.costs",))
class ForecastCost(ForecastMonths):
    """Costs of the coming months: `total` and by `cost_type:`, which add up to the total."""


def improved(orders: DailySeries) -> Candidate | None:
    """The candidate that knows the shop's orders; None for a shop without any."""
    if not orders.names:
        return None

    def applies(values: np.ndarray) -> np.ndarray:
        return np.isfinite(values).sum(axis=1) >= MIN_DAYS

    def forecast(panel: Panel, horizon: int, seed: int) -> np.ndarray:
        first = (panel.start - orders.start).days
        volume = np.zeros(panel.n_days)
        there = slice(max(first, 0), max(first + panel.n_days, 0))
        known = orders.values[0, there]
        volume[max(-first, 0) :][: known.size] = known
        ahead = CANDIDATES[ORDERS_BY].forecast(Panel(volume[None, :], panel.start, None, True), horizon, seed)
        every = np.append(volume, np.nan_to_num(ahead[0], nan=volume[-WEEK:].mean()))
        columns = [np.eye(WEEK)[panel.weekdays(horizon)], every[:, None]]
        if panel.regressors is not None:
            columns.append(panel.regressors)
        return _regressed(panel, np.column_stack(columns), applies(panel.values))

    return Candidate("improved", 0.0, MIN_DAYS, applies, forecast)


def _regressed(panel: Panel, design: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Ridge regression of each series on the design, whose columns are brought to one scale; the level is not shrunk."""
    answer = np.full((panel.values.shape[0], design.shape[0] - panel.n_days), np.nan)
    spread = design[: panel.n_days].std(axis=0)
    design = (design - design[: panel.n_days].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    for row in np.flatnonzero(rows):
        days = np.isfinite(panel.values[row])
        known, values = design[: panel.n_days][days], panel.values[row, days]
        centre = known.mean(axis=0)
        gram = (known - centre).T @ (known - centre) + RIDGE * np.eye(known.shape[1])
        weights = np.linalg.solve(gram, (known - centre).T @ (values - values.mean()))
        answer[row] = values.mean() + (design[panel.n_days :] - centre) @ weights
    return answer
