"""A snapshot of a past day holds what the shop knew then, whatever came after."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from made_shop import AS_OF, SHOP, ZONE, run
from test_no_future import HAPPENED, Tables, inputs, with_another_future

from lifecycle_assets.contracts import Contract, registry
from lifecycle_assets.features.identity import IdentityMap, identity_map
from lifecycle_assets.features.identity_ids import IdentityIds, identity_ids
from lifecycle_assets.features.snapshot import LATEST_ALONE, Snapshot
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
from lifecycle_assets.models.churn_features import features_at
from lifecycle_assets.settings import Churn, Customer, Shop
from resources.engine.duckdb import DuckDBEngine
from resources.snapshots import Snapshots
from resources.warehouse.lake import Lake

THEN = AS_OF - dt.timedelta(days=40)


def lake_of(folder: Path, raw: Tables) -> Snapshots:
    """Tonight's raw tables, of AS_OF, in a lake, and whose visitor ids are whose tonight (every account stands alone)."""
    lake = Lake(folder, list(registry().values()))
    for name, table in raw.items():
        lake.write(registry()[name], SHOP, AS_OF, table.with_columns(pl.lit(AS_OF).alias("as_of")))
    ids = run(identity_ids(SHOP, AS_OF, ZONE), IdentityIds, raw)
    shop = Shop.model_validate({"name": "Made", "timezone": ZONE, "currency": "EUR", "country": "ES", "input": "none"})
    nobody = Customers.empty().lazy(), Identities.empty().lazy()
    lake.write(IdentityMap, SHOP, AS_OF, identity_map(ids.lazy(), *nobody, shop_id=SHOP, as_of=AS_OF, shop=shop))
    return Snapshots(lake, DuckDBEngine("1GB", 1))


def take(snapshots: Snapshots, only: pl.Series | None = None) -> Snapshot:
    return snapshots.take(SHOP, THEN, Customer(), only, timezone=ZONE)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["deleted", "replaced", "doubled"])
@pytest.mark.parametrize("business", ["ecommerce", "saas", "prepaid"])
def test_what_came_after_changes_no_feature(tmp_path: Path, change: str, business: str) -> None:
    churn = Churn(business_type=business)
    expected, newest = features_at(take(lake_of(tmp_path / "a", inputs())), churn, ZONE)
    other = with_another_future(THEN, dict.fromkeys(HAPPENED, change), seed=3)
    made, newest_made = features_at(take(lake_of(tmp_path / "b", other)), churn, ZONE)
    # The latest top-up alone is recorded: one that came later has overwritten the one before.
    overwritten = [name for name in ("days_since_top_up",) if name in made.columns]
    assert made.drop(overwritten).equals(expected.drop(overwritten))
    assert expected.height > 15
    assert newest is not None and newest_made is not None
    assert max(newest, newest_made) <= THEN


@pytest.mark.slow
def test_the_night_of_that_day_tells_plans_and_balances(tmp_path: Path) -> None:
    snapshots = lake_of(tmp_path, inputs())
    told = take(snapshots).subscriptions
    assert told is not None and told.height
    # Tonight's plan may be one that the customer moved to since.
    assert inputs()[Subscriptions.name]["plan"].null_count() == 0
    assert told.select(pl.all_horizontal(pl.col(LATEST_ALONE).is_null().all())).item()
    then = told.with_columns(pl.lit(THEN).alias("as_of"), pl.lit("basic").alias("plan"), pl.lit(7.5).alias("balance"))
    snapshots.lake.write(Subscriptions, SHOP, THEN, then)
    snapshots.lake.write(
        Subscriptions, SHOP, AS_OF, inputs()[Subscriptions.name].with_columns(pl.lit(AS_OF).alias("as_of"))
    )
    again = take(snapshots).subscriptions
    assert again is not None
    assert (set(again["plan"]), set(again["balance"])) == ({"basic"}, {7.5})
    assert set(again["as_of"]) == {THEN}


@pytest.mark.slow
def test_a_part_of_the_customers_is_that_part_of_all(tmp_path: Path) -> None:
    snapshots = lake_of(tmp_path, inputs())
    whole = take(snapshots)
    some = whole.customer_orders["customer_id"].sort().gather_every(3)
    part = take(snapshots, some)
    for name in ("orders", "customer_orders", "customer_behaviour", "subscriptions"):
        frame, of_all = getattr(part, name), getattr(whole, name)
        keys = [key for key in ("customer_id", "order_id", "subscription_id") if key in frame.columns]
        expected = of_all.filter(pl.col("customer_id").is_in(some.implode()))
        assert frame.sort(keys).equals(expected.sort(keys)), name


def test_without_a_zone_there_is_no_behaviour(tmp_path: Path) -> None:
    made = lake_of(tmp_path, inputs()).take(SHOP, THEN, Customer())
    assert made.customer_behaviour is None
    assert made.subscriptions is None
    with pytest.raises(ValueError, match="timezone"):
        features_at(made, Churn(), ZONE)


@pytest.mark.parametrize("late", [WebEvents, Engagement, SupportTickets, PaymentEvents, SurveyResponses])
def test_an_event_of_afterwards_that_entered_would_show_in_the_newest_date(tmp_path: Path, late: Contract) -> None:
    made = lake_of(tmp_path, {OrderLines.name: inputs()[OrderLines.name], late.name: inputs()[late.name]})
    then, later = take(made), made.take(SHOP, AS_OF, Customer(), timezone=ZONE)
    known = features_at(then, Churn(), ZONE)[1]
    assert known is not None and known <= THEN
    # What the night of AS_OF knows, taken for what was known THEN.
    leaking = Snapshot(THEN, then.orders, then.customer_orders, later.customer_behaviour, then.subscriptions)
    newest = features_at(leaking, Churn(), ZONE)[1]
    assert newest is not None and newest > THEN
