"""The jobs that people start by hand, run in this process; and lists of what they work on."""

import datetime as dt
import getpass

import dagster as dg

from lifecycle_assets import definitions
from lifecycle_assets.definitions import Home
from lifecycle_assets.dispatch.approval import Approvals
from lifecycle_assets.dispatch.batch_states import batch_states
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.release import recovered_batches
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.operations.homes import Listing, open_instance


def run_job(home: Home, job: str, op: str, **config: object) -> str:
    """Run a job of one op for a shop and return what it says; raises LifecycleError with the reason where it fails."""
    home.shop(str(config["shop"]))
    return _said(home, job, op, config)


def prune_records(home: Home, *, dry_run: bool) -> str:
    """Remove Dagster's record of old runs, of all shops; what went."""
    return _said(home, "prune_runs", "remove_old_runs", {"dry_run": dry_run})


def _said(home: Home, job: str, op: str, config: dict[str, object]) -> str:
    with open_instance(home) as instance:
        result = (
            definitions.build_defs(home)
            .resolve_job_def(job)
            .execute_in_process(
                instance=instance,
                run_config=dg.RunConfig(ops={op: {"config": config}}, loggers={"console": {}}),
                raise_on_error=False,
            )
        )
        for event in result.filter_events(lambda event: event.is_step_failure):
            raise LifecycleError(definitions.cause(event.step_failure_data.error))
        said: str = result.output_for_node(op)
        return said


def person() -> str:
    """Who is at the keyboard, for the ledger."""
    return getpass.getuser()


def list_batches(home: Home, shop: str) -> Listing:
    """Every batch of the shop with its state, the latest night first."""
    settings = home.shop(shop)
    resources = definitions.build_resources(home)
    lake, delivery = resources["lake"], resources["delivery"]
    lines = lake.scan(Ledger, shop)
    found = recovered_batches(lines, shop, delivery)
    approvals = Approvals(lake, delivery, lambda _: None, settings, shop)
    nights = lines.select("as_of").unique().collect().get_column("as_of").to_list()
    # A fixed date is looked at as if it were that day: nothing of it has expired.
    now = dt.datetime.now(dt.UTC) if settings.as_of is None else None
    states = batch_states(lines, found, approvals.expiries(nights), now)
    return Listing(states.to_dicts(), nothing=f"{shop}: no batches yet")


def list_snapshots(home: Home, shop: str) -> Listing:
    """Every snapshot of the shop, the latest first."""
    home.shop(shop)
    keeping = definitions.build_resources(home)["keeping"]
    dead = keeping.unfinished(shop)
    rows = [
        {
            "name": kept.name,
            "taken_at": kept.taken_at.isoformat(timespec="seconds"),
            "by": "night" if kept.nightly else "hand",
            "note": "restore was interrupted: run it again" if kept.name == dead else "",
        }
        for kept in keeping.list(shop)
    ]
    return Listing(rows, nothing=f"{shop}: no snapshots yet; each night leaves one")
