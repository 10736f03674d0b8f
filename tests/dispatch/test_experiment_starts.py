"""An experiment starts with its first message that was not undone."""

import datetime as dt
from pathlib import Path

from dispatch_world import AS_OF, SHOP_FILE, table
from test_audience_assets import run
from test_dispatch_assets import filled

from lifecycle_assets.dispatch import assets
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.models.assets.measurement import experiment_results
from lifecycle_assets.models.experiment_results import ExperimentResults
from resources.home import Home


def test_a_message_that_was_undone_does_not_start_its_experiment(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.shop_file("lupe").parent.mkdir()
    home.shop_file("lupe").write_text(SHOP_FILE, "utf-8")
    lake = filled(home)
    of_all = {"customer_id": "ana", "channel": "email", "programme": "winback", "step": 1, "actor": "a", "run": "r"}
    for days, events in ((20, ("exported", "compensated")), (5, ("exported",))):
        night = AS_OF - dt.timedelta(days=days)
        at = dt.datetime.combine(night, dt.time(1), dt.UTC)
        lines = [
            {**of_all, "idempotency_key": f"k{days}", "batch_id": f"b{days}", "event": event, "at": at}
            for event in events
        ]
        lake.append(Ledger, "lupe", night, table(Ledger, lines, night))
    run(home, lake, chosen=[assets.assignments, assets.experiments, experiment_results])
    measured = lake.scan(ExperimentResults, "lupe").collect()
    assert set(measured["started_on"]) == {AS_OF - dt.timedelta(days=4)}
