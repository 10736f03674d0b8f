"""Whatever is recorded after as_of, every feature table of the night is the same: replaced, shuffled, doubled or deleted."""

import datetime as dt
import json
import tempfile
import zoneinfo
from functools import cache
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from made_shop import AS_OF, SHOP, ZONE, frame
from test_behaviour import END
from test_behaviour import raw as behaviour_inputs

from lifecycle_assets.contracts import registry
from lifecycle_assets.features import assets
from lifecycle_assets.inputs.contracts import (
    Customers,
    Engagement,
    Identities,
    OrderLines,
    PaymentEvents,
    Subscriptions,
    SupportTickets,
    SurveyResponses,
    WebEvents,
)
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.nights import Nights
from resources.warehouse.lake import Lake

Tables = dict[str, pl.DataFrame]

# When a row came to be, and what became of it later. Products and identities bear no date.
HAPPENED = {
    OrderLines.name: "ordered_at",
    WebEvents.name: "occurred_at",
    Engagement.name: "sent_at",
    SupportTickets.name: "opened_at",
    PaymentEvents.name: "occurred_at",
    SurveyResponses.name: "responded_at",
    Subscriptions.name: "started_at",
    Customers.name: "created_at",
}
CAME_OF_IT = {
    Engagement.name: ["delivered_at", "opened_at", "clicked_at"],
    SupportTickets.name: ["closed_at"],
    Subscriptions.name: ["cancelled_at", "topped_up_at"],
}
CHANGES = ["deleted", "shuffled", "replaced", "doubled"]
# Each kind of business is looked at on another day.
NIGHTS = {AS_OF: "ecommerce", AS_OF - dt.timedelta(days=20): "saas", AS_OF - dt.timedelta(days=75): "prepaid"}


@cache
def inputs() -> Tables:
    """The made shop with all its inputs, two years around AS_OF."""
    rng = np.random.default_rng(5)

    def ago(least: int, most: int) -> dt.datetime:
        return END - dt.timedelta(seconds=int(rng.integers(least * 86_400, most * 86_400)))

    def who() -> str:
        return f"C{int(rng.integers(1, 25)):02d}"

    subscriptions = [
        {"subscription_id": f"S{i}", "customer_id": who(), "plan": f"plan {i % 3}", "started_at": ago(-30, 300),
         "cancelled_at": ago(-60, 250),
         "balance": float(rng.choice([0, 0, 5])), "topped_up_at": ago(-30, 250)}
        for i in range(60)
    ]  # fmt: skip
    subscriptions += [{**row, "subscription_id": f"T{i}", "cancelled_at": None, "topped_up_at": None}
                      for i, row in enumerate(subscriptions[:20])]  # fmt: skip
    answers = [
        {"response_id": f"A{i}", "customer_id": who(), "answer": float(rng.integers(0, 11)),
         "responded_at": ago(-30, 250), "question": str(rng.choice(["Would you recommend us?", "How fast?"])),
         "groups": json.dumps({"store": str(rng.choice(["Lyon", "Nice"])), "clerk": f"K{i % 40}"})}
        for i in range(400)
    ]  # fmt: skip
    # Identities bear no date: theirs are accounts of the past, so that no link comes from the future.
    customers = [
        {"customer_id": f"C{i:02d}", "created_at": ago(100 if i < 10 else -40, 300), "country": "ES",
         "email": f"p{i % 20}@example.org", "phone": f"+34 600 00 00 {i % 22:02d}"}
        for i in range(1, 60)
    ]  # fmt: skip
    links = [{"customer_id": f"C{i:02d}", "anonymous_id": f"v{i // 2}"} for i in range(1, 10)]
    # Visitor ids of a few events each: some signed in under before a night, some after it, some by several.
    raw = behaviour_inputs(1)
    visits = raw[WebEvents.name].with_columns(anonymous_id=pl.format("w{}", pl.int_range(pl.len()) % 500))
    return {
        **raw,
        WebEvents.name: visits,
        Subscriptions.name: frame(Subscriptions, subscriptions),
        SurveyResponses.name: frame(SurveyResponses, answers),
        Customers.name: frame(Customers, customers),
        Identities.name: frame(Identities, links),
    }


def end(as_of: dt.date) -> dt.datetime:
    midnight = dt.datetime.combine(as_of + dt.timedelta(days=1), dt.time(), zoneinfo.ZoneInfo(ZONE))
    return midnight.astimezone(dt.UTC)


def features(raw: Tables, as_of: dt.date) -> Tables:
    """Every feature table of a night on these raw tables, made by the assets themselves in a lake of their own."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.shop_file(SHOP).parent.mkdir()
        home.shop_file(SHOP).write_text(
            f"{{name: Made, timezone: {ZONE}, currency: EUR, country: ES, input: none, "
            f"customer: {{churn: {{business_type: {NIGHTS[as_of]}}}}}}}"
        )
        lake = Lake(home.warehouse, list(registry().values()))
        for name, table in raw.items():
            lake.write(registry()[name], SHOP, as_of, table.with_columns(pl.lit(as_of).alias("as_of")))
        made = [item for item in dg.load_assets_from_modules([assets]) if isinstance(item, dg.AssetsDefinition)]
        # What comes before the models: the profiles at the end of the night read the models and the decisions.
        chosen = [item for item in made if {key.path[0] for key in item.dependency_keys} <= {"raw", "features"}]
        keys = {key for item in chosen for key in item.keys}
        nights = Nights(home)
        instance = dg.DagsterInstance.ephemeral()
        instance.add_dynamic_partitions("shops", [SHOP])
        given = {key for item in chosen for key in item.dependency_keys} - keys
        result = dg.materialize(
            [*chosen, *(dg.AssetSpec(key) for key in sorted(given))],
            selection=sorted(keys),
            partition_key=SHOP,
            instance=instance,
            tags={"lifecycle/as_of": str(as_of)},
            resources={
                "nights": nights,
                "lake": lake,
                "warehouse": WarehouseIOManager(lake, DuckDBEngine("1GB", 1), nights),
            },
        )
        assert result.success
        names = [".".join(key.path) for key in sorted(keys)]
        return {name: lake.scan(registry()[name], SHOP).collect() for name in names}


@cache
def expected(as_of: dt.date) -> Tables:
    return features(inputs(), as_of)


def with_another_future(as_of: dt.date, changes: dict[str, str], seed: int) -> Tables:
    """The shop's inputs with what was recorded after `as_of` changed, in each table in its own way, and all rows mixed."""
    raw, after = dict(inputs()), pl.lit(end(as_of))
    for name, at in HAPPENED.items():
        outcomes = [_outcome(column, after, changes[name]) for column in CAME_OF_IT.get(name, [])]
        table = raw[name].with_columns(outcomes)
        past, future = table.filter(pl.col(at) < after), table.filter(pl.col(at) >= after)
        assert past.height
        assert future.height
        unique = registry()[name].primary_key[-1]
        facts = [column for column in table.columns if column not in ("shop_id", "as_of", unique, at, "order_date")]
        future = _changed(future, past.select(facts), unique, changes[name], seed)
        raw[name] = pl.concat([future, past]).sample(fraction=1.0, shuffle=True, seed=seed)
    return raw


def _outcome(column: str, after: pl.Expr, change: str) -> pl.Expr:
    """What came of a row, where that came later. The latest top-up has overwritten the one before: it cannot be undone."""
    moved = pl.col(column) + pl.duration(days=3)
    later = {"deleted": moved if column == "topped_up_at" else pl.lit(None), "replaced": moved}
    return pl.when(pl.col(column) < after).then(column).otherwise(later.get(change, pl.col(column))).alias(column)


def _changed(future: pl.DataFrame, past: pl.DataFrame, unique: str, change: str, seed: int) -> pl.DataFrame:
    """Other rows to come; `past` holds the columns that may change, as they were in the rows gone by."""
    if change == "deleted":
        return future.clear()
    if change == "shuffled":
        return future.with_columns(pl.col(fact).shuffle(seed=seed + i) for i, fact in enumerate(past.columns))
    if change == "replaced":
        return future.with_columns(past.sample(future.height, with_replacement=True, seed=seed).iter_columns())
    ids = pl.col(unique)
    again = ids + 1_000_000 if future.schema[unique].is_integer() else ids + "-again"
    return pl.concat([future, future.with_columns(again)])


# A night takes seconds: a handful of futures, and none of them shrunk.
@pytest.mark.slow
@pytest.mark.parametrize("as_of", sorted(NIGHTS))
@settings(max_examples=2, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    changes=st.fixed_dictionaries(dict.fromkeys(HAPPENED, st.sampled_from(CHANGES))),
    seed=st.integers(0, 1000),
)
def test_the_future_changes_no_feature_table(as_of: dt.date, changes: dict[str, str], seed: int) -> None:
    made = features(with_another_future(as_of, changes, seed), as_of)
    differ = [name for name, table in expected(as_of).items() if not made[name].equals(table)]
    assert not differ


@pytest.mark.slow
def test_every_table_has_rows_to_change_and_changes_from_night_to_night() -> None:
    early, late = min(NIGHTS), max(NIGHTS)
    assert len(expected(late)) >= 12
    for name, table in expected(late).items():
        before = expected(early)[name]
        assert before.height > 3, name
        assert not before.drop("as_of").equals(table.drop("as_of")), name
