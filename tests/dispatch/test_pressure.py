"""What counts as opened by a person is told alike by the gates and by the feature table."""

import datetime as dt
from pathlib import Path

import polars as pl
from dispatch_world import AS_OF, table

from lifecycle_assets.contracts import registry
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.pressure import pressure, touches
from lifecycle_assets.features.behaviour import CustomerBehaviour, customer_behaviour
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.inputs.contracts import Engagement
from lifecycle_assets.settings import Routing
from lifecycle_assets.settings.profile_fields import TRIGGERS
from resources.engine.duckdb import DuckDBEngine

SENT = dt.datetime(2025, 2, 24, 9, tzinfo=dt.UTC)
DELIVERED = SENT + dt.timedelta(seconds=30)
MIDNIGHT = dt.datetime(2025, 3, 1, 23, tzinfo=dt.UTC)


def test_a_machines_open_is_the_same_for_gates_and_features(tmp_path: Path) -> None:
    tick = dt.timedelta(microseconds=1)
    edge = dt.timedelta(seconds=2)
    opened = {None, DELIVERED, MIDNIGHT - tick, MIDNIGHT}
    opened |= {base + edge + shift for base in (SENT, DELIVERED) for shift in (-tick, 0 * tick, tick)}
    cases = [(delivered, at) for delivered in (None, DELIVERED) for at in sorted(opened, key=str)]
    rows = [
        {
            "message_id": f"m{n}",
            "customer_id": f"c{n:02d}",
            "channel": "email",
            "sent_at": SENT,
            "delivered_at": delivered,
            "opened_at": at,
        }
        for n, (delivered, at) in enumerate(cases)
    ]
    engagement = table(Engagement, rows)
    by_gates = touches(Ledger.empty().lazy(), engagement.lazy(), as_of=AS_OF, timezone="Europe/Madrid").collect()

    statement = customer_behaviour("lupe", AS_OF, "Europe/Madrid")
    given = {Engagement.name: engagement, CustomerOrders.name: table(CustomerOrders, rows)}
    sources = {name: [tmp_path / f"{name}.parquet"] for name in statement.tables()}
    for name, (path,) in sources.items():
        given.get(name, registry()[name].empty()).write_parquet(path)
    DuckDBEngine("1GB", 1).run(statement, sources, CustomerBehaviour, tmp_path / "made.parquet")
    by_features = pl.read_parquet(tmp_path / "made.parquet").sort("customer_id")

    person = [at is not None and at < MIDNIGHT and at - (delivered or SENT) > edge for delivered, at in cases]
    assert by_gates.sort("customer_id")["opened"].to_list() == person
    assert by_features["open_rate_90d"].to_list() == [float(opened_by_person) for opened_by_person in person]
    assert len(set(person)) == 2


def test_a_journey_begins_anew_so_many_days_after_its_last_message() -> None:
    tonight = AS_OF + dt.timedelta(days=1)
    messages = pl.LazyFrame(
        {
            "customer_id": ["a", "b"],
            "message_id": ["1", "2"],
            "day": [tonight - dt.timedelta(days=4), tonight - dt.timedelta(days=5)],
            "channel": ["email", "email"],
            "programme": ["welcome", "welcome"],
            "step": [1, 1],
            "offer_id": ["welcome_hello", "welcome_hello"],
            "opened": [False, False],
        }
    )
    bought = pl.lit(AS_OF - dt.timedelta(days=30))
    events = [pl.lit(None, pl.Date).alias(f"since_{trigger}") for trigger in TRIGGERS]
    begins = messages.select("customer_id", bought.alias("last_purchase"), *events)

    def last_steps(again_after_days: int | None) -> list[int | None]:
        routing = Routing.model_validate({"programmes": {"welcome": {"again_after_days": again_after_days}}})
        heard = pressure(messages, begins, routing, as_of=AS_OF)
        return heard.sort("customer_id").collect()["last_step_welcome"].to_list()

    assert last_steps(None) == [1, 1]
    assert last_steps(5) == [1, None]
