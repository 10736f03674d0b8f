"""What every computation of one run of one shop shares: the shop, the date looked at, and the shop's settings."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from lifecycle_assets.settings import Shop


@dataclass(frozen=True)
class Night:
    """One run of one shop. `today` is the run's own date in the shop's zone: only inputs are held against it, to tell
    a date in the future from a real one; everything computed depends on `as_of` alone. `started_at` is for the ledger."""

    shop: str
    as_of: dt.date
    today: dt.date
    started_at: dt.datetime
    settings: Shop

    @property
    def run(self) -> str:
        """The run's name in tables and files: the same for a repeated run."""
        return f"{self.shop}@{self.as_of}"


def night_of(context: Any) -> Night:
    """The night that an asset works on."""
    return context.resources.nights.of(context)
