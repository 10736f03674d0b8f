"""The assets of tonight's decisions and their dispatch. The computations are in the modules beside this one."""

import datetime as dt
import importlib.metadata
from collections.abc import Callable, Iterator

import dagster as dg
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch import assignments as arms
from lifecycle_assets.dispatch import audience_exports as telling
from lifecycle_assets.dispatch import audiences as choosing
from lifecycle_assets.dispatch import batches as batching
from lifecycle_assets.dispatch import carrying, gathering
from lifecycle_assets.dispatch import decisions as deciding
from lifecycle_assets.dispatch import deliveries as delivering
from lifecycle_assets.dispatch import experiments as standing_arms
from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch import messages as writing
from lifecycle_assets.dispatch import reach as reaching
from lifecycle_assets.dispatch.approval import Approvals
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.audience_exports import AudienceExports
from lifecycle_assets.dispatch.audiences import Audiences
from lifecycle_assets.dispatch.batches import Batches
from lifecycle_assets.dispatch.contact import Contacts, standing
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.deliveries import Deliveries
from lifecycle_assets.dispatch.experiments import Experiments
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.dispatch.offers import channels_in_use
from lifecycle_assets.dispatch.people import people
from lifecycle_assets.dispatch.profile import profiles
from lifecycle_assets.dispatch.reach import Reach
from lifecycle_assets.dispatch.release import Facts, recovered_batches, release, withheld
from lifecycle_assets.dispatch.rendering import as_written
from lifecycle_assets.dispatch.retention import LedgerTotals
from lifecycle_assets.dispatch.trace import models
from lifecycle_assets.dispatch.triggers import Happenings, Triggers
from lifecycle_assets.dispatch.triggers import triggers as events
from lifecycle_assets.dispatch.writer import Drafts
from lifecycle_assets.errors import DispatchError
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
    Products,
    Suppressions,
    WebEvents,
)
from lifecycle_assets.markdown import markdown
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.settings import Measurement
from lifecycle_assets.sql import Sql
from lifecycle_assets.staged import Appended
from lifecycle_assets.wiring import asset_key, reads, sql_deps, table_asset

# What an asset needs that also looks at what earlier runs left: the lake, and the delivered batches.
MEMORY = ("lake", "delivery")


@dg.asset(
    **table_asset(Assignments, "sql"), deps=sql_deps(arms.assignments(Measurement.model_validate({}).experiments))
)
def assignments(context: dg.AssetExecutionContext) -> Sql:
    return arms.assignments(night_of(context).settings.measurement.experiments)


@dg.asset(**table_asset(Experiments, "polars", resources=("lake",)))
def experiments(context: dg.AssetExecutionContext) -> pl.DataFrame:
    night = night_of(context)
    before = context.resources.lake.scan_before(Experiments, night.shop, night.as_of)
    return standing_arms.experiments(night.settings, before, shop_id=night.shop, as_of=night.as_of)


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
    lines = context.resources.lake.scan(Ledger, night.shop)
    found = recovered_batches(lines, night.shop, context.resources.delivery)
    heard = ledgers.heard(lines, found, approval=night.settings.dispatch.approval)
    decided = deciding.decide(
        profiles(gathering.sources(tables, heard, ledgers.undone(lines)), as_of=night.as_of, shop=night.settings),
        shop_id=night.shop,
        as_of=night.as_of,
        shop=night.settings,
        used=ledgers.offers_used(heard, context.resources.lake.scan(LedgerTotals, night.shop), night.as_of),
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


@dg.asset(
    **table_asset(Messages, "polars", "jinja", resources=(*MEMORY, "writers")),
    ins=reads(Decisions, Customers, Products, IdentityMap),
)
def messages(
    context: dg.AssetExecutionContext,
    decisions: pl.LazyFrame,
    customers: pl.LazyFrame,
    products: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    sent = _sent(context, night)
    tonight = resolved(sent.filter(pl.col("as_of") == night.as_of), identity_map).select("customer_id")
    writer = context.resources.writers.of(night.settings.dispatch.writer)
    drafts = Drafts(writer, night.settings) if writer else None
    written = writing.messages(
        decisions,
        people(customers, identity_map),
        shop_id=night.shop,
        as_of=night.as_of,
        shop=night.settings,
        catalogue=products,
        released=_released(context, night, sent),
        reached=tonight.unique().collect(),
        wording=drafts or as_written,
    )
    broken = written.filter(pl.col("over_limit").is_not_null()).group_by("content_type", "channel", "over_limit").len()
    if broken.height:
        context.add_output_metadata({"put aside": dg.MetadataValue.md(markdown(broken.sort(pl.all())))})
    if drafts:
        told = pl.DataFrame(list(drafts.told.items()), schema=["message", "draft"], orient="row")
        context.add_output_metadata({"drafts": dg.MetadataValue.md(markdown(told))})
    return written


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
    facts = Facts(
        night.shop,
        night.as_of,
        night.run,
        night.started_at,
        code_version(),
        dict(reasons.iter_rows()),
        models=models(decisions),
    )
    contacts = Contacts(customers, consents, suppressions, erasure_requests, engagement, identities, identity_map)
    channels = channels_in_use(night.settings.routing)
    # A date fixed in the configuration is an archive, a demonstration for instance: looked at as if it were that day.
    now = None if night.settings.as_of == night.as_of else night.started_at
    added = 0

    def append(lines: pl.DataFrame) -> None:
        nonlocal added
        lines = delivering.addressed(lines, night.settings.dispatch.delivery.destination)
        added += lake.append(Ledger, night.shop, night.as_of, lines).rows

    with lake.lock(night.shop, "ledger"):
        planned = messages.collect()
        approved, waiting = None, set[str]()
        if night.settings.dispatch.approval:
            at_hand = Approvals(lake, context.resources.delivery, append, night.settings, night.shop)
            at_hand.resume(before=night.as_of, at=night.started_at, run=night.run, code_version=code_version())
            lines = lake.scan(Ledger, night.shop)
            approved = set(ledgers.approved(lines).get_column("batch_id"))
            waiting = at_hand.waiting(lines, now).filter(pl.col("as_of") != night.as_of).get_column("batch_id")
        used = sorted({*channels, *planned.get_column("channel").unique()})
        outcome = release(
            planned,
            batches.collect(),
            standing(planned.lazy(), contacts, night.settings.routing, used, until=None),
            lake.scan(Ledger, night.shop),
            facts,
            shop=night.settings,
            now=now,
            delivery=context.resources.delivery,
            append=append,
            approved=approved,
            waiting=waiting,
        )
        lake.refresh(Ledger, night.shop)
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


@dg.asset(
    **table_asset(Deliveries, "polars", resources=("lake", "carriers")),
    deps=[asset_key(Ledger)],
    ins=reads(Customers, Consents, Suppressions, ErasureRequests, Engagement, Identities, IdentityMap),
)
def deliveries(
    context: dg.AssetExecutionContext,
    customers: pl.LazyFrame,
    consents: pl.LazyFrame,
    suppressions: pl.LazyFrame,
    erasure_requests: pl.LazyFrame,
    engagement: pl.LazyFrame,
    identities: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> Iterator[dg.Output[pl.DataFrame]]:
    night = night_of(context)
    lake = context.resources.lake
    carrier = context.resources.carriers.of(night.shop, night.settings)
    if carrier is None:
        yield dg.Output(_of_tonight(context, night, Deliveries, pl.lit(value=True)))
        return
    contacts = Contacts(customers, consents, suppressions, erasure_requests, engagement, identities, identity_map)
    archive = night.settings.as_of == night.as_of
    since = min(night.as_of, delivering.oldest_night(night.started_at, night.settings.dispatch.expiry_hours))

    def lines() -> pl.LazyFrame:
        return lake.scan(Ledger, night.shop).filter(pl.col("as_of") >= since)

    def load(as_of: dt.date, batch_id: str) -> pl.DataFrame:
        stored = lake.scan_night(Messages, night.shop, as_of)
        return Messages.empty() if stored is None else stored.filter(pl.col("batch_id") == batch_id).collect()

    def withdrawn(messages: pl.DataFrame) -> pl.DataFrame:
        channels = messages.get_column("channel").unique().sort().to_list()
        return withheld(messages, standing(messages.lazy(), contacts, night.settings.routing, channels, None), None)

    def append(answered: pl.DataFrame) -> None:
        with lake.lock(night.shop, "ledger"):
            lake.append(Ledger, night.shop, night.as_of, answered)

    def still_due(messages: pl.DataFrame) -> pl.DataFrame:
        return delivering.still_due(messages, lines(), carrier.destination)

    stock = carrying.Stock(night.shop, night.run, load, still_due, withdrawn, append, context.log.info, archive)
    with lake.lock(night.shop, "delivery"):
        tallies = carrying.carry(delivering.due(lines(), carrier.destination), carrier, stock)
        before = _of_tonight(context, night, Deliveries, pl.lit(value=True))
        told = delivering.deliveries(
            lines(), tallies, before, shop_id=night.shop, as_of=night.as_of, destination=carrier.destination
        )
    yield dg.Output(told)
    if problem := delivering.left_waiting(told):
        raise DispatchError(problem)


@dg.asset(**table_asset(Audiences, "polars", resources=MEMORY), ins=reads(*gathering.PROFILE))
def audiences(context: dg.AssetExecutionContext, **tables: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    found = _found(context, night)
    earlier = _slices(context, night, lambda as_of: as_of < night.as_of)
    nothing_sent = Ledger.empty().lazy()
    chosen = choosing.audiences(
        gathering.sources(tables, nothing_sent, nothing_sent),
        choosing.held(earlier, found),
        choosing.told(_of_tonight(context, night, Audiences, pl.lit(value=True)).lazy(), night.as_of, found),
        shop_id=night.shop,
        as_of=night.as_of,
        shop=night.settings,
    )
    counts = chosen.group_by("audience", "state", "reason").agg(people=pl.col("customer_id").n_unique())
    context.add_output_metadata({"people": dg.MetadataValue.md(markdown(counts.sort("audience", "state", "reason")))})
    return chosen


@dg.asset(**table_asset(AudienceExports, "polars", resources=MEMORY), ins=reads(Audiences))
def audience_exports(context: dg.AssetExecutionContext, audiences: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    facts = Facts(night.shop, night.as_of, night.run, night.started_at, code_version(), reasons={})
    with context.resources.lake.lock(night.shop, "ledger"):
        later = _slices(context, night, lambda as_of: as_of > night.as_of)
        superseded = telling.is_superseded(later, _found(context, night))
        told = telling.export(audiences, facts, context.resources.delivery, superseded=superseded)
    if superseded:
        context.log.warning("not exported: the audiences of a later night are out already")
    shown = told.select("audience", "destination", "members", "added", "removed", "left_out", "status")
    context.add_output_metadata({"audiences": dg.MetadataValue.md(markdown(shown))})
    return told


def _slices(
    context: dg.AssetExecutionContext, night: Night, wanted: Callable[[dt.date], bool]
) -> Iterator[tuple[dt.date, pl.LazyFrame]]:
    """The slices of dispatch.audiences of the wanted nights, the latest first."""
    lake = context.resources.lake
    for as_of in reversed(lake.nights(Audiences, night.shop)):
        rows = lake.scan_night(Audiences, night.shop, as_of) if wanted(as_of) else None
        if rows is not None:
            yield as_of, rows


def _found(context: dg.AssetExecutionContext, night: Night) -> Callable[[dt.date, str], bool]:
    return lambda as_of, batch_id: context.resources.delivery.found(night.shop, as_of, batch_id)


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


def code_version() -> str:
    """The release of the code that runs."""
    try:
        return importlib.metadata.version("lifecycle-assets")
    except importlib.metadata.PackageNotFoundError:
        return "source"
