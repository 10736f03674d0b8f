"""What customers respond to, as Dagster assets: wiring only."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from lifecycle_assets import contracts
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.loyalty import CustomerLoyalty
from lifecycle_assets.inputs.contracts import Customers, Engagement, OrderLines
from lifecycle_assets.models import cadence_posteriors as cadences
from lifecycle_assets.models import channel_posteriors as channels
from lifecycle_assets.models import discount_posteriors as discounts
from lifecycle_assets.models import message_evidence as messages
from lifecycle_assets.models import nba_scores as contents
from lifecycle_assets.models import send_time_posteriors as send_times
from lifecycle_assets.models.cadence_posteriors import CadencePosteriors
from lifecycle_assets.models.channel_posteriors import ChannelPosteriors
from lifecycle_assets.models.discount_posteriors import DiscountPosteriors
from lifecycle_assets.models.evidence import gathered
from lifecycle_assets.models.message_evidence import MessageEvidence
from lifecycle_assets.models.nba_scores import NbaScores
from lifecycle_assets.models.response_cells import expected_rates
from lifecycle_assets.models.send_time_posteriors import SendTimePosteriors
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import HEAVY, SHOPS, reads, table_asset, table_out

# The slices of the nights before, and the ledger, which comes later in the night, are read from the lake itself.
LAKE = "lake"
# In the order in which they are made: the others need the first.
TABLES = (ChannelPosteriors, SendTimePosteriors, DiscountPosteriors, NbaScores, CadencePosteriors)
# Models know nothing of dispatch's modules.
REACH = {"reach": dg.AssetIn(key=["dispatch", "reach"], input_manager_key="warehouse")}


@dg.asset(**table_asset(MessageEvidence, "polars", resources=(LAKE,)), ins=reads(Engagement, OrderLines, Customers))
def message_evidence(
    context: dg.AssetExecutionContext, engagement: pl.LazyFrame, order_lines: pl.LazyFrame, customers: pl.LazyFrame
) -> pl.LazyFrame:
    night = night_of(context)
    before = _slices(context, night, until=night.as_of - dt.timedelta(days=1))
    after = messages.newest_day(before)
    settled = messages.delivered(engagement, order_lines, as_of=night.as_of, shop=night.settings)
    context.add_output_metadata({"arrived too late to be evidence": messages.left_out(settled, before, after)})
    return messages.message_evidence(
        engagement,
        order_lines,
        customers,
        shop_id=night.shop,
        as_of=night.as_of,
        shop=night.settings,
        after=after,
    )


@dg.multi_asset(
    name="posteriors",
    outs={contract.table: table_out(contract, "numba") for contract in TABLES},
    ins={**reads(MessageEvidence, IdentityMap, CustomerLoyalty, CustomerOrders, Customers, OrderLines), **REACH},
    partitions_def=SHOPS,
    required_resource_keys={"nights", LAKE},
    pool=HEAVY,
)
def posteriors(
    context: dg.AssetExecutionContext,
    message_evidence: pl.LazyFrame,  # noqa: ARG001 - tonight's slice is read with those of the other nights
    identity_map: pl.LazyFrame,
    customer_loyalty: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
    customers: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    reach: pl.LazyFrame,
) -> Iterator[dg.Output[pl.DataFrame]]:
    """All tables from one reading of the evidence. Each is stored before the next is made."""
    night = night_of(context)
    routing, timezone = night.settings.routing, night.settings.timezone
    keys: dict[str, Any] = {"shop_id": night.shop, "as_of": night.as_of}
    messages = whole_evidence(context, night, identity_map)
    evidence = gathered(messages, customer_loyalty, night.as_of, routing.posteriors.half_life_days)
    stated = channels.preferences(resolved(customers.with_columns(account="customer_id"), identity_map))
    responses = channels.channel_posteriors(evidence, customer_orders, stated, reach, **keys, shop=night.settings)
    yield dg.Output(responses, ChannelPosteriors.table)
    rates = expected_rates(responses.lazy(), evidence.customers)
    del responses
    hours = send_times.order_hours(order_lines, customers, as_of=night.as_of, timezone=timezone)
    hours = resolved(hours, identity_map)
    yield dg.Output(
        send_times.send_time_posteriors(evidence, rates, hours, **keys, routing=routing), SendTimePosteriors.table
    )
    yield dg.Output(
        discounts.discount_posteriors(evidence, rates, customer_orders, **keys, routing=routing),
        DiscountPosteriors.table,
    )
    yield dg.Output(contents.nba_scores(evidence, rates, **keys, routing=routing), NbaScores.table)
    yield dg.Output(cadences.cadence_posteriors(evidence, rates, **keys, routing=routing), CadencePosteriors.table)


def whole_evidence(context: dg.AssetExecutionContext, night: Night, identity_map: pl.LazyFrame) -> pl.LazyFrame:
    """The evidence of all nights up to tonight's, of profiles: what a posterior is a function of. An asset that asks for it
    needs the resource LAKE and reads MessageEvidence, so that tonight's slice is there."""
    ledger = context.resources.lake.scan(contracts.registry()["dispatch.ledger"], night.shop)
    return resolved(messages.whole(_slices(context, night, until=night.as_of), ledger), identity_map)


def _slices(context: dg.AssetExecutionContext, night: Night, *, until: dt.date) -> list[pl.LazyFrame]:
    lake = context.resources.lake
    nights = [day for day in lake.nights(MessageEvidence, night.shop) if day <= until]
    found = [lake.scan_night(MessageEvidence, night.shop, day) for day in nights]
    return [rows for rows in found if rows is not None]
