"""From tonight's decisions to what they say of the ranking profiles, over a real lake."""

import datetime as dt
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, SHOP_FILE, World, table

from lifecycle_assets.contracts import registry
from lifecycle_assets.dispatch import ledger
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.inputs.contracts import Engagement
from lifecycle_assets.models.assets import policy
from lifecycle_assets.models.policy_evaluation import PolicyEvaluation
from lifecycle_assets.models.policy_log import PolicyLog
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.nights import Nights
from resources.warehouse.lake import Lake

SENDS = dt.datetime(2025, 3, 2, 12, tzinfo=dt.UTC)
TWO_OFFERS = """
routing:
  exploration: {share: 0.5, eps: 0.05}
  offers: {winback_20: {name: 20 % off, content_type: winback, discount_pct: 20, priority: 9}}
  programmes: {winback: {steps: [{channels: [email], offers: [winback_10, winback_20], response_rate: 0.2}]}}
"""


def run(home: Home, lake: Lake, as_of: dt.date) -> dict[str, pl.DataFrame]:
    """A night of the assets of policies."""
    nights = Nights(home)
    made = [policy.policy_log, policy.policy_evaluation]
    keys = {definition.key for definition in made}
    given = {key for definition in made for deps in definition.asset_deps.values() for key in deps} - keys
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("shops", ["lupe"])
    dg.materialize(
        [*made, *(dg.AssetSpec(key) for key in sorted(given))],
        selection=sorted(keys),
        partition_key="lupe",
        instance=instance,
        tags={"lifecycle/as_of": str(as_of)},
        resources={
            "nights": nights,
            "lake": lake,
            "warehouse": WarehouseIOManager(lake, DuckDBEngine("1GB", 1), nights),
        },
    )
    return {contract.table: lake.scan(contract, "lupe").collect() for contract in (PolicyLog, PolicyEvaluation)}


@pytest.mark.slow
def test_what_was_decided_is_valued_once_it_is_settled(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.shop_file("lupe").parent.mkdir()
    home.shop_file("lupe").write_text(SHOP_FILE + TWO_OFFERS, "utf-8")
    lake = Lake(home.warehouse, list(registry().values()))
    people = {f"c{number:03d}": {**LAPSED, "email": f"c{number:03d}@example.com"} for number in range(300)}
    world = World(people, explores=True, yaml=TWO_OFFERS)

    before = run(home, lake, AS_OF)
    assert before["policy_log"].is_empty()
    assert before["policy_evaluation"]["is_in_force"].to_list() == [True, False]

    decided = world.decide()
    messages = world.messages(decided)
    lake.write(Decisions, "lupe", AS_OF, decided)
    lake.write(Messages, "lupe", AS_OF, messages)
    exported = messages.filter(pl.col("customer_id") != "c000")
    lake.append(Ledger, "lupe", AS_OF, ledger.lines_of(exported, "exported", at=SENDS, run="test"))
    answers = [
        {"message_id": key, "customer_id": who, "channel": "email", "sent_at": SENDS,
         "converted_at": SENDS if number % 4 == 0 else None, "revenue": 100.0}
        for number, (who, key) in enumerate(exported.select("customer_id", "idempotency_key").iter_rows())
    ]  # fmt: skip
    settled = AS_OF + dt.timedelta(days=5)
    for as_of in (settled - dt.timedelta(days=1), settled):
        lake.write(Engagement, "lupe", as_of, table(Engagement, answers, as_of))
    assert run(home, lake, settled - dt.timedelta(days=1))["policy_log"].is_empty()
    found = run(home, lake, settled)

    sent = decided.filter(pl.col("decision_id").is_in(exported["decision_id"].implode()))
    assert 200 < sent.height < 300
    log = found["policy_log"]
    assert set(log["decision_id"]) == set(sent["decision_id"])
    in_force = log.filter(policy="balanced").join(sent, on="decision_id")
    assert in_force["weight"].to_list() == [1.0] * sent.height, "it decided itself"
    # Half the time the other profile's best, else chance: on average a weight of one.
    other = log.filter(policy="margin")["weight"]
    assert other.mean() == pytest.approx(1, abs=4 * other.std() / sent.height**0.5 + 1e-6)
    assert log["is_supported"].all()
    taken = in_force.select(pl.col("expected_value").cast(pl.Float64), "expected_taken")
    assert taken["expected_taken"].to_list() == pytest.approx(taken["expected_value"].to_list(), abs=1e-4)
    table_of = found["policy_evaluation"]
    assert table_of["n_decisions"].to_list() == [sent.height] * 2
    assert table_of["verdict"].to_list() == ["in force", "not enough evidence"]
    assert table_of["value_logged"][0] == pytest.approx(log.filter(policy="balanced")["reward"].mean())

    files = {path: path.read_bytes() for path in (tmp_path / "warehouse" / "models").rglob("*.parquet")}
    run(home, lake, settled)
    assert {path: path.read_bytes() for path in (tmp_path / "warehouse" / "models").rglob("*.parquet")} == files
    tomorrow = run(home, lake, settled + dt.timedelta(days=1))
    assert tomorrow["policy_log"].is_empty(), "told already"
    assert tomorrow["policy_evaluation"]["n_decisions"].to_list() == [sent.height] * 2
