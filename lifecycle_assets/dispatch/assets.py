"""The assets of tonight's decisions and their dispatch. The computations are in the modules beside this one."""

import importlib.metadata

import dagster as dg
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch import assignments as arms
from lifecycle_assets.dispatch import batches as batching
from lifecycle_assets.dispatch import decisions as deciding
from lifecycle_assets.dispatch import gathering
from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch import messages as writing
from lifecycle_assets.dispatch import reach as reaching
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.batches import Batches
from lifecycle_assets.dispatch.contact import Contacts, standing
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.dispatch.offers import channels_in_use
from lifecycle_assets.dispatch.people import people
from lifecycle_assets.dispatch.profile import profiles
from lifecycle_assets.dispatch.reach import Reach
from lifecycle_assets.dispatch.release import Facts, recovered_batches, release
from lifecycle_assets.dispatch.triggers import Happenings, Triggers
from lifecycle_assets.dispatch.triggers import triggers as events
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs.contracts import (
    Consents,
    Customers,
    Engagement,
    ErasureRequests,
    Identities,
    OrderLines,
    PriceHistory,
    Suppressions,
    WebEvents,
)
from lifecycle_assets.markdown import markdown
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.settings import Measurement
from lifecycle_assets.sql import Sql
from lifecycle_assets.staged import Appended
from lifecycle_assets.wiring import reads, sql_deps, table_asset

# What an asset needs that also looks at what earlier runs left: the lake, and the delivered batches.
MEMORY = ("lake", "delivery")


@dg.asset(
    **table_asset(Assignments, "sql"), deps=sql_deps(arms.assignments(Measurement.model_validate({}).experiments))
)
def assignments(context: dg.AssetExecutionContext) -> Sql:
    return arms.assignments(night_of(context).settings.measurement.experiments)


@dg.asset(
    **table_asset(Reach, "polars"),
    ins=reads(
        CustomerFeatures, Customers, Consents, Suppressions, ErasureRequests, Engagement, Identities, IdentityMap
    ),
)
def reach(
    context: dg.AssetExecutionContext,
    customer_features: pl.LazyFrame,
    customers: pl.LazyFrame,
    consents: pl.LazyFrame,
    suppressions: pl.LazyFrame,
    erasure_requests: pl.LazyFrame,
    engagement: pl.LazyFrame,
    identities: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    contacts = Contacts(customers, consents, suppressions, erasure_requests, engagement, identities, identity_map)
    return reaching.reach(customer_features, contacts, as_of=night.as_of, shop=night.settings)


@dg.asset(
    **table_asset(Triggers, "polars"),
    ins=reads(WebEvents, OrderLines, PriceHistory, Customers, LifecycleStage, IdentityMap),
)
def triggers(
    context: dg.AssetExecutionContext,
    web_events: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    price_history: pl.LazyFrame,
    customers: pl.LazyFrame,
    lifecycle_stage: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    happenings = Happenings(web_events, order_lines, price_history, customers, lifecycle_stage, identity_map)
    found = events(happenings, shop_id=night.shop, as_of=night.as_of, timezone=night.settings.timezone)
    counts = found.group_by("trigger").len("customers").sort("trigger")
    context.add_output_metadata({"events": dg.MetadataValue.md(markdown(counts))})
    return found


@dg.asset(
    **table_asset(Decisions, "polars", resources=MEMORY),
    ins=reads(*gathering.READS),
)
def decisions(context: dg.AssetExecutionContext, **tables: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    sent = _sent(context, night)
    released = _released(context, night, sent)
    decided = deciding.decide(
        profiles(gathering.sources(tables, sent), as_of=night.as_of, shop=night.settings),
        shop_id=night.shop,
        as_of=night.as_of,
        shop=night.settings,
        used=ledgers.offers_used(sent, night.as_of),
        knowledge=gathering.knowledge(tables),
        standing=_of_tonight(context, night, Decisions, pl.col("customer_id").is_in(released["customer_id"].implode())),
    )
    counts = decided.group_by("action", "reason").len("customers").sort("customers", "reason", descending=[True, False])
    assumed = batching.assumptions(night.settings.routing.assume_consent)
    context.add_output_metadata(
        {
            "reasons": dg.MetadataValue.md(markdown(counts)),
            "assumptions": "; ".join(assumed.values()) or "none",
        }
    )
    return decided


@dg.asset(**table_asset(Messages, "polars", "jinja", resources=MEMORY), ins=reads(Decisions, Customers, IdentityMap))
def messages(
    context: dg.AssetExecutionContext, decisions: pl.LazyFrame, customers: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    sent = _sent(context, night)
    tonight = resolved(sent.filter(pl.col("as_of") == night.as_of), identity_map).select("customer_id")
    return writing.messages(
        decisions,
        people(customers, identity_map),
        shop_id=night.shop,
        as_of=night.as_of,
        shop=night.settings,
        released=_released(context, night, sent),
        reached=tonight.unique().collect(),
    )


@dg.asset(**table_asset(Batches, "polars", resources=MEMORY), ins=reads(Messages))
def batches(context: dg.AssetExecutionContext, messages: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    sent = _sent(context, night)
    return batching.batches(
        messages,
        sent.filter(pl.col("as_of") < night.as_of),
        assumptions=batching.assumptions(night.settings.routing.assume_consent),
        released=_of_tonight(context, night, Batches, pl.col("batch_id").is_in(_batches_out(sent, night).implode())),
    )


@dg.asset(
    **table_asset(Ledger, "polars", resources=MEMORY),
    ins=reads(
        Decisions,
        Messages,
        Batches,
        Customers,
        Consents,
        Suppressions,
        ErasureRequests,
        Engagement,
        Identities,
        IdentityMap,
    ),
)
def ledger(
    context: dg.AssetExecutionContext,
    decisions: pl.LazyFrame,
    messages: pl.LazyFrame,
    batches: pl.LazyFrame,
    customers: pl.LazyFrame,
    consents: pl.LazyFrame,
    suppressions: pl.LazyFrame,
    erasure_requests: pl.LazyFrame,
    engagement: pl.LazyFrame,
    identities: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> Appended:
    night = night_of(context)
    lake = context.resources.lake
    reasons = decisions.group_by("reason").agg(pl.len()).sort("reason").collect()
    facts = Facts(night.shop, night.as_of, night.run, night.started_at, _code_version(), dict(reasons.iter_rows()))
    contacts = Contacts(customers, consents, suppressions, erasure_requests, engagement, identities, identity_map)
    channels = channels_in_use(night.settings.routing)
    # A date fixed in the configuration is an archive, a demonstration for instance: looked at as if it were that day.
    now = None if night.settings.as_of == night.as_of else night.started_at
    added = 0

    def append(lines: pl.DataFrame) -> None:
        nonlocal added
        added += lake.append(Ledger, night.shop, night.as_of, lines).rows

    with lake.lock(night.shop, "ledger"):
        planned = messages.collect()
        used = sorted({*channels, *planned.get_column("channel").unique()})
        outcome = release(
            planned,
            batches.collect(),
            standing(planned.lazy(), contacts, night.settings.routing, used, until=None),
            lake.scan(Ledger, night.shop),
            facts,
            now=now,
            delivery=context.resources.delivery,
            append=append,
        )
        lake.refresh(Ledger)
    context.log.info(
        "%d messages in %d batches exported, %d held back at export, %d found released after a crash",
        outcome.exported,
        outcome.batches,
        outcome.cancelled,
        outcome.recovered,
    )
    superseded = f"not released: the night of {outcome.later} has gone out already" if outcome.later else ""
    if superseded:
        context.log.warning(superseded)
    context.add_output_metadata(
        {
            **({"released": superseded} if superseded else {}),
            "messages exported": outcome.exported,
            "batches exported": outcome.batches,
            "held back at export": outcome.cancelled,
            "found released after a crash": outcome.recovered,
            "folder": dg.MetadataValue.path(str(context.resources.delivery.night(night.shop, night.as_of))),
        }
    )
    return Appended(added)


def _sent(context: dg.AssetExecutionContext, night: Night) -> pl.LazyFrame:
    """The ledger's lines of every message that went out, tonight's included."""
    lines = context.resources.lake.scan(Ledger, night.shop)
    return ledgers.sent(lines, recovered_batches(lines, night.shop, context.resources.delivery))


def _batches_out(sent: pl.LazyFrame, night: Night) -> pl.Series:
    tonight = sent.filter(pl.col("as_of") == night.as_of)
    return tonight.select(pl.col("batch_id").unique()).collect().get_column("batch_id")


def _released(context: dg.AssetExecutionContext, night: Night, sent: pl.LazyFrame) -> pl.DataFrame:
    """Tonight's messages of the batches that an earlier run of this night put out."""
    return _of_tonight(context, night, Messages, pl.col("batch_id").is_in(_batches_out(sent, night).implode()))


def _of_tonight(
    context: dg.AssetExecutionContext, night: Night, contract: Contract, concerned: pl.Expr
) -> pl.DataFrame:
    """The rows that an earlier run of this night left in a table with history."""
    before = context.resources.lake.scan_night(contract, night.shop, night.as_of)
    return contract.empty() if before is None else before.filter(concerned).collect()


def _code_version() -> str:
    try:
        return importlib.metadata.version("lifecycle-assets")
    except importlib.metadata.PackageNotFoundError:
        return "source"
