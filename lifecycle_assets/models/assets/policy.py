"""Policies and their evaluation as Dagster assets: wiring only."""

import datetime as dt

import dagster as dg
import polars as pl

from lifecycle_assets import contracts
from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.inputs.contracts import Engagement, OrderLines
from lifecycle_assets.markdown import markdown
from lifecycle_assets.models import policy_evaluation as evaluating
from lifecycle_assets.models import policy_log as telling
from lifecycle_assets.models.policy_evaluation import PolicyEvaluation
from lifecycle_assets.models.policy_log import Nights, Outcomes, PolicyLog
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import asset_key, reads, table_asset

# What earlier nights decided and sent is read from the lake itself: tonight's comes later in the night.
LAKE = "lake"
SHOWN = ["policy", "verdict", "n_decisions", "effective_size", "dr", "dr_lo", "dr_hi", "gain", "gain_lo", "note"]


@dg.asset(
    **table_asset(PolicyLog, "polars", resources=(LAKE,)),
    ins=reads(Engagement, OrderLines, CustomerFeatures, IdentityMap),
)
def policy_log(
    context: dg.AssetExecutionContext,
    engagement: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    customer_features: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    before = _slices(context, night, PolicyLog, until=night.as_of - dt.timedelta(days=1))
    told = before.select(pl.col("decided_on").max()).collect().item() or dt.date.min
    until = telling.settled_until(night.as_of, night.settings)
    decisions, messages = (
        _slices(context, night, contracts.registry()[name], after=told, until=until)
        for name in ("dispatch.decisions", "dispatch.messages")
    )
    return telling.policy_log(
        Nights(resolved(decisions, identity_map), messages, _ledger(context, night)),
        Outcomes(engagement, order_lines, customer_features),
        shop_id=night.shop,
        as_of=night.as_of,
        shop=night.settings,
    )


@dg.asset(
    **table_asset(PolicyEvaluation, "polars", resources=(LAKE,)), ins=reads(IdentityMap), deps=[asset_key(PolicyLog)]
)
def policy_evaluation(context: dg.AssetExecutionContext, identity_map: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    before = context.resources.lake.scan_before(PolicyEvaluation, night.shop, night.as_of)
    log = telling.whole(_slices(context, night, PolicyLog, until=night.as_of), _ledger(context, night))
    evaluated = evaluating.policy_evaluation(
        resolved(log, identity_map),
        None if before is None else before.collect(),
        routing=night.settings.routing,
        shop_id=night.shop,
        as_of=night.as_of,
    )
    context.add_output_metadata({"profiles": dg.MetadataValue.md(markdown(evaluated.select(SHOWN), longest=200))})
    return evaluated


def _ledger(context: dg.AssetExecutionContext, night: Night) -> pl.LazyFrame:
    return context.resources.lake.scan(contracts.registry()["dispatch.ledger"], night.shop)


def _slices(
    context: dg.AssetExecutionContext,
    night: Night,
    contract: Contract,
    *,
    until: dt.date,
    after: dt.date = dt.date.min,
) -> pl.LazyFrame:
    """What the nights in between left of a table with history."""
    lake = context.resources.lake
    nights = [day for day in lake.nights(contract, night.shop) if after < day <= until]
    found = (lake.scan_night(contract, night.shop, day) for day in nights)
    return pl.concat([contract.empty().lazy(), *(rows for rows in found if rows is not None)])
