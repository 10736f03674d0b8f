"""The settings that the glossary quotes."""

import datetime as dt
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    stage, loyalty, bins = settings.customer.stage, settings.customer.loyalty.segments, settings.customer.rfm.bins
    values = {
        "new_days": stage.new_days,
        "won_back_days": stage.won_back_days,
        "at_risk_factor": stage.at_risk_factor,
        "lapsed_factor": stage.lapsed_factor,
        **dict(loyalty),
        "lowest": 1,
        "best_total": bins + bins + bins,
        "champion_total": bins + bins + bins - 2,
    }
    return {f"setting.{name}": value for name, value in values.items()}
