"""What the messages earned, as Dagster assets: wiring only."""

import datetime as dt

import dagster as dg
import polars as pl

from lifecycle_assets import contracts
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.inputs.contracts import Engagement, OrderLines
from lifecycle_assets.markdown import markdown
from lifecycle_assets.models import attribution as sharing
from lifecycle_assets.models import caused_share as causing
from lifecycle_assets.models import experiment_results as comparing
from lifecycle_assets.models.attribution import Attribution
from lifecycle_assets.models.caused_share import CausedShare
from lifecycle_assets.models.experiment_results import ExperimentResults
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import reads, table_asset

# The ledger comes later in the night: what earlier nights sent is read from the lake itself.
LAKE = "lake"
# Models know nothing of dispatch's modules.
ARMS = {
    name: dg.AssetIn(key=["dispatch", name], input_manager_key="warehouse") for name in ("assignments", "experiments")
}


@dg.asset(
    **table_asset(ExperimentResults, "polars", resources=(LAKE,)),
    ins={**reads(Orders, Engagement, IdentityMap), **ARMS},
)
def experiment_results(
    context: dg.AssetExecutionContext,
    assignments: pl.LazyFrame,
    experiments: pl.LazyFrame,
    orders: pl.LazyFrame,
    engagement: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    results = comparing.experiment_results(
        assignments,
        orders,
        resolved(engagement, identity_map),
        _started(context, night, experiments),
        shop=night.settings,
        shop_id=night.shop,
        as_of=night.as_of,
    )
    told = results.filter(pl.col("metric").is_in(["margin", "revenue"])).select("sentence", "note")
    context.add_output_metadata({"results": dg.MetadataValue.md(markdown(told, longest=300))})
    return results


@dg.asset(
    **table_asset(CausedShare, "polars", resources=(LAKE,)),
    ins={**reads(ExperimentResults, Orders, Engagement, OrderLines, IdentityMap), **ARMS},
)
def caused_share(
    context: dg.AssetExecutionContext,
    experiment_results: pl.LazyFrame,
    assignments: pl.LazyFrame,
    experiments: pl.LazyFrame,
    orders: pl.LazyFrame,
    engagement: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    of_programme = pl.col("programme").replace_strict(_experiments(night), default=None, return_dtype=pl.String)
    sent = _sent(context, night).select(message_id="idempotency_key", experiment=of_programme)
    shares = causing.caused_share(
        experiment_results,
        assignments,
        orders,
        resolved(engagement, identity_map),
        resolved(order_lines, identity_map),
        sent.drop_nulls("experiment").unique("message_id"),
        shop=night.settings,
        as_of=night.as_of,
        messages_since=experiments.select(pl.max("messages_since")).collect().item(),
    )
    context.add_output_metadata({"shares": dg.MetadataValue.md(markdown(shares.drop("shop_id", "as_of")))})
    return shares


@dg.asset(
    **table_asset(Attribution, "polars", resources=(LAKE,)),
    ins=reads(Orders, OrderLines, Engagement, IdentityMap, ExperimentResults),
)
def attribution(
    context: dg.AssetExecutionContext,
    orders: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    engagement: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    experiment_results: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    return sharing.attribution(
        orders,
        resolved(order_lines, identity_map),
        resolved(engagement, identity_map),
        _sent(context, night).select("programme", message_id="idempotency_key").unique("message_id"),
        experiment_results.collect(),
        shop=night.settings,
        shop_id=night.shop,
        as_of=night.as_of,
    )


def _started(context: dg.AssetExecutionContext, night: Night, experiments: pl.LazyFrame) -> dict[str, dt.date]:
    """The local day of each experiment's start: that after the night of its first message (of those not undone) or of its
    first audience at an advertising tool, or after the first night on which its arms were drawn as they are, if later."""
    lake, shop = context.resources.lake, night.shop
    told = contracts.registry()["dispatch.audience_exports"]
    nights = [lake.scan_night(told, shop, as_of) for as_of in lake.nights(told, shop) if as_of < night.as_of]
    lists = pl.concat([told.empty().lazy(), *nights]).filter(pl.col("status") == "exported")
    audiences = {name: audience.experiment for name, audience in night.settings.dispatch.audiences.items()}
    begun: dict[str, dt.date] = {}
    ledger = lake.scan(contracts.registry()["dispatch.ledger"], shop)
    undone = ledger.filter(pl.col("event") == "compensated")
    heard = _sent(context, night).join(undone, on="idempotency_key", how="anti")
    for rows, by, experiment_of in (
        (heard, "programme", _experiments(night)),
        (lists, "audience", audiences),
    ):
        for name, first in rows.group_by(by).agg(pl.col("as_of").min()).collect().iter_rows():
            if name in experiment_of:
                begun[experiment_of[name]] = min(first, begun.get(experiment_of[name], first))
    drawn = dict(experiments.select("experiment", "since").collect().iter_rows())
    return {name: max(first, drawn.get(name) or first) + dt.timedelta(days=1) for name, first in begun.items()}


def _experiments(night: Night) -> dict[str, str]:
    """Programme -> its experiment."""
    programmes = night.settings.routing.programmes
    return {name: programme.experiment for name, programme in programmes.items() if programme.experiment}


def _sent(context: dg.AssetExecutionContext, night: Night) -> pl.LazyFrame:
    """The ledger's lines of the messages of earlier nights that went out."""
    lines = context.resources.lake.scan(contracts.registry()["dispatch.ledger"], night.shop)
    return lines.filter((pl.col("event") == "exported") & (pl.col("as_of") < night.as_of))
