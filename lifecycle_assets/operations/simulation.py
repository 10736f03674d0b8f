"""Shops of simulated customers: their past, and night after night what they do with what was dispatched."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lifecycle_assets import contracts, definitions
from lifecycle_assets.definitions import Home
from lifecycle_assets.dispatch.ledger import undone
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.operations.homes import command, make_home
from lifecycle_assets.simulator.world import ZONES, World

SIMULATED = """\
# A simulated shop: every customer's truth lies in the folder beside its input.
name: {name}
timezone: {zone}
currency: USD
country: {country}
input: {input}
# The last day lived through; `lifecycle simulate --night` moves it on.
as_of: {as_of}
"""


# A message may wait for the end of quiet hours or for the throttle.
SEND_NIGHTS = 7


@dataclass(frozen=True)
class Simulated:
    """Where a simulated shop stands."""

    shop: str
    last_day: dt.date
    customers: int
    input: str
    home: Path

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        return (
            f"{self.shop}: {self.customers:,} customers, lived through to {self.last_day}; its input is {self.input}\n"
            f"  a night  {command(self.home, f'run --shop {self.shop}')}\n"
            f"  go on    {command(self.home, f'simulate --shop {self.shop} --night')}"
        )


def simulate(home: Home, world: World, progress: Callable[[str], None]) -> Simulated:
    """Live through a past, and put the shop into the home."""
    simulation = definitions.simulation(home, world.shop)
    path = home.shop_file(world.shop)
    if path.exists():
        raise SettingsError(f"{path} exists: choose another name for the simulated shop")
    simulation.begin(world, progress)
    make_home(home)
    country = world.countries[0]
    text = SIMULATED.format(
        name=world.shop, zone=ZONES[country], country=country, input=simulation.input, as_of=simulation.last_day()
    )
    path.write_text(text, "utf-8")
    return _simulated(home, world.shop)


def simulate_night(home: Home, shop: str, progress: Callable[[str], None]) -> Simulated:
    """Live through the next day with what was dispatched for it."""
    simulation = definitions.simulation(home, shop)
    day = simulation.last_day() + dt.timedelta(days=1)
    simulation.go_on(dispatched(home, shop, day), progress)
    path = home.shop_file(shop)
    path.write_text(re.sub(r"(?m)^as_of: .*$", f"as_of: {day}", path.read_text("utf-8")), "utf-8")
    return _simulated(home, shop)


def _simulated(home: Home, shop: str) -> Simulated:
    simulation = definitions.simulation(home, shop)
    return Simulated(shop, simulation.last_day(), simulation.world().customers, str(simulation.input), home.root)


def dispatched(home: Home, shop: str, day: dt.date) -> pl.DataFrame:
    """The messages that went out for that local day and were not undone, as the simulator takes them."""
    lake = definitions.build_resources(home)["lake"]
    messages, decisions, ledger = (
        contracts.registry()[name] for name in ("dispatch.messages", "dispatch.decisions", "dispatch.ledger")
    )
    lines = lake.scan(ledger, shop)
    exported = lines.filter(pl.col("event") == "exported").join(undone(lines), on="idempotency_key", how="anti")
    nights = [night for night in lake.nights(messages, shop) if night < day][-SEND_NIGHTS:]
    chosen = [
        lake.scan_night(messages, shop, night).join(
            lake.scan_night(decisions, shop, night).select("decision_id", "propensity"), on="decision_id", how="left"
        )
        for night in nights
    ]
    empty = messages.empty().lazy().with_columns(pl.lit(None, pl.Float64).alias("propensity"))
    return (
        pl.concat([*chosen, empty], how="diagonal")
        .filter(pl.col("send_at_local").dt.date() == day)
        .join(exported, on="idempotency_key", how="semi")
        .select(
            pl.col("idempotency_key").alias("message_id"),
            "customer_id",
            "channel",
            "content_type",
            pl.col("send_at_local").dt.hour().alias("hour"),
            "discount_pct",
            "propensity",
        )
        .collect()
    )
