"""A simulated shop through a night, a day that answers it, and the next night, with the commands that people use."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from tests.e2e.test_command_line import lifecycle


@pytest.mark.slow
def test_a_night_is_answered_and_the_next_one_knows_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    begun = lifecycle(home, "simulate", "--shop", "sim", "--customers", "400", "--days", "240", "--until", "2025-03-31")
    assert "lived through to 2025-03-31" in begun.stdout
    assert lifecycle(home, "check", "--shop", "sim").returncode == 0
    ready = "+dispatch/ledger"  # the night up to what goes out, without the report
    lifecycle(home, "run", "--shop", "sim", "--select", ready)
    sent = pl.read_parquet(home / "warehouse/dispatch/messages/sim/data.parquet")
    assert sent.height > 0
    lived = lifecycle(home, "simulate", "--shop", "sim", "--night")
    assert "lived through to 2025-04-01" in lived.stdout
    answered = pl.read_parquet(home / "simulations/sim/input/engagement/night-2025-04-01-0000.parquet")
    assert set(answered["message_id"]) == set(
        sent.filter(pl.col("send_at_local").dt.date() == pl.date(2025, 4, 1))["idempotency_key"]
    )
    tables = ["raw/engagement", "raw/order_lines", "features/orders", "models/experiment_results", "models/attribution"]
    lifecycle(home, "run", "--shop", "sim", "--select", " or ".join(tables))
    known = pl.read_parquet(home / "warehouse/raw/engagement/sim/data.parquet")
    assert set(answered["message_id"]) <= set(known["message_id"])
    measured = pl.read_parquet(home / "warehouse/models/experiment_results/sim/data.parquet")
    assert measured["started_on"].unique().to_list() == [dt.date(2025, 4, 1)]
    shared = pl.read_parquet(home / "warehouse/models/attribution/sim/data.parquet")
    orders = pl.read_parquet(home / "warehouse/features/orders/sim/data.parquet")
    assert shared.group_by("model").agg(pl.col("revenue").sum())["revenue"].unique().to_list() == [
        orders["amount"].sum()
    ]
    again = lifecycle(home, "simulate", "--shop", "sim", "--customers", "5", code=1)
    assert "exists" in again.stderr
