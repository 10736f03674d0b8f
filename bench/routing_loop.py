"""Nights of a simulated shop under the product's own routing, each run as every night is and answered by the simulator."""

import copy
from typing import Any

import numpy as np
import polars as pl
import yaml

from bench.routing_judge import COST, Shop, judged, may_be_written_to
from lifecycle_assets import contracts
from lifecycle_assets.definitions import Home, build_resources, simulation
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.operations.nights import run_night
from lifecycle_assets.operations.simulation import dispatched, simulate, simulate_night
from lifecycle_assets.settings import shipped
from lifecycle_assets.simulator.people import people
from lifecycle_assets.simulator.service import CAMPAIGNS
from lifecycle_assets.simulator.simulation import arriving
from lifecycle_assets.simulator.world import CHANNELS, CONTENTS, TIERS, World

POSTERIORS = (
    "message_evidence", "channel_posteriors", "send_time_posteriors", "discount_posteriors", "nba_scores",
    "cadence_posteriors", "policy_evaluation",
)  # fmt: skip
# The past's inputs that do not change by night are read on the first one, and the effect of campaigns is learnt then.
NIGHTLY = ["features/*", "dispatch/*", "raw/order_lines", "raw/engagement", *(f"models/{name}" for name in POSTERIORS)]
FIRST = [*NIGHTLY, "raw/*"]
EFFECTS = 'key:"models/uplift_*"'
MEASURED = 'key:"models/experiment_results"'
EXPERIMENT = "always_on"


def ours(home: Home, shop: Shop, nights: int, holdout: float = 0.0) -> pl.DataFrame:
    """The nights after the shop's past under the product, as routing_judge tells them: each is run as every night is, up to
    the files of its messages, and answered by the simulator. `expected` is the expected value of the decision that night,
    null where nothing was sent. The home gets the shop; a share of `holdout` of its customers is written nothing, in an
    experiment that is measured every night."""
    world = shop.world
    simulate(home, world, _silent)
    path = home.shop_file(world.shop)
    path.write_text(path.read_text("utf-8") + yaml.safe_dump(_settings(shop, holdout), sort_keys=False), "utf-8")
    who, lived = people(world, 0, world.customers), simulation(home, world.shop)
    rows, measured = [], f" or {MEASURED}" if holdout else ""
    for day in range(world.days, world.days + nights):
        select = (f"{_selection(FIRST)} or {EFFECTS}" if day == world.days else _selection(NIGHTLY)) + measured
        night = run_night(home, world.shop, select=select)
        if not night.success:
            raise LifecycleError("; ".join(night.failures))
        state = lived.state(0)
        bought = last_purchase(world, pl.scan_parquet(lived.input / "order_lines" / "*.parquet"))
        sends, _ = arriving(who, state, dispatched(home, world.shop, world.date(day)))
        free = np.flatnonzero(may_be_written_to(state, bought, day))
        rows.append(
            judged(shop, who, state, day, free, sends).join(
                _expected(home, world, day), on="customer", how="left", maintain_order="left"
            )
        )
        simulate_night(home, world.shop, _silent)
    return pl.concat(rows)


def _expected(home: Home, world: World, day: int) -> pl.DataFrame:
    """customer, expected: the expected value of what was decided to be sent on that day."""
    decisions = contracts.registry()["dispatch.decisions"]
    return (
        build_resources(home)["lake"]
        .scan_night(decisions, world.shop, world.date(day - 1))
        .filter(pl.col("action") == "send")
        .select(customer=_number(), expected=pl.col("expected_value").cast(pl.Float64))
        .collect()
    )


def _offers() -> dict[str, dict[str, object]]:
    return {
        f"{content}_{pct:.0f}": {
            "name": f"{content} with {pct:.0f} % off" if pct else content,
            "content_type": content,
            "discount_pct": pct,
            "valid_days": 0,
        }
        for content in CONTENTS
        for pct in TIERS
    }


# One programme for everyone, on all channels and at all hours of the simulator, with all of its contents and tiers.
SETTINGS: dict[str, dict[str, Any]] = {
    "routing": {
        "channels": {
            name: {"enabled": True, "cost": cost, "quiet_hours": [22, 8], "addressed_by": "customer_id"}
            | ({"approved_templates": {content: content for content in CONTENTS}} if name == "whatsapp" else {})
            for name, cost in COST.items()
        },
        "offers": _offers(),
        "programmes": {
            **{name: {"enabled": False} for name in shipped.PROGRAMMES},
            EXPERIMENT: {
                "when": {"field": "visit_frequency", "op": ">=", "value": 1},
                "again_after_days": 1,
                "steps": [{"channels": list(CHANNELS), "offers": list(_offers()), "response_rate": 0.02}],
            },
        },
        # Rivals do not look at opens.
        "contact": {"fatigue_unopened": {"messages": 7, "days": 7}},
    },
    "dispatch": {
        "templates": {
            f"{content}.{channel}.en": {"subject": content, "text": "{{ shop }}"}
            for content in CONTENTS
            for channel in CHANNELS
        }
    },
}


def _settings(shop: Shop, holdout: float) -> dict[str, Any]:
    """The effect of the latest of the past's campaigns alone is learnt: one is enough, and takes time."""
    posteriors = {"unsubscribe_cost": shop.unsubscribed}
    settings = {
        **SETTINGS,
        "routing": {**SETTINGS["routing"], "posteriors": posteriors},
        "uplift": {"window_days": shop.world.days // (CAMPAIGNS + 1) + 1},
    }
    if holdout:
        settings = copy.deepcopy(settings)
        settings["routing"]["programmes"][EXPERIMENT]["experiment"] = EXPERIMENT
        settings["measurement"] = {"experiments": {EXPERIMENT: {"holdout_share": holdout}}}
    return settings


def last_purchase(world: World, order_lines: pl.LazyFrame) -> np.ndarray:
    """Day of each customer's last purchase, -1 for none; orders after midnight UTC count for the day before."""
    day = (pl.col("ordered_at").dt.offset_by("-6h").dt.date() - world.start).dt.total_days()
    last = order_lines.filter(pl.col("quantity") > 0).group_by(customer=_number()).agg(day.max()).collect()
    found = np.full(world.customers, -1)
    found[last["customer"].to_numpy()] = last["ordered_at"].to_numpy()
    return found


def _number() -> pl.Expr:
    """The number of each customer_id of the simulator."""
    return pl.col("customer_id").cast(pl.String).str.slice(1).cast(pl.Int64)


def _selection(names: list[str]) -> str:
    wanted = " or ".join(f'key:"{name}"' for name in names)
    return f'((+key:"dispatch/ledger") and ({wanted}))'


def _silent(_: str) -> None:
    """Nobody looks at the progress."""
