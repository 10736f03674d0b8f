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
from lifecycle_assets.models import experiment_results as comparing
from lifecycle_assets.models.attribution import Attribution
from lifecycle_assets.models.experiment_results import ExperimentResults
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import reads, table_asset

# The ledger comes later in the night: what earlier nights sent is read from the lake itself.
LAKE = "lake"
# Models know nothing of dispatch's modules.
ARMS = {"assignments": dg.AssetIn(key=["dispatch", "assignments"], input_manager_key="warehouse")}


@dg.asset(
    **table_asset(ExperimentResults, "polars", resources=(LAKE,)),
    ins={**reads(Orders, Engagement, IdentityMap), **ARMS},
)
def experiment_results(
    context: dg.AssetExecutionContext,
    assignments: pl.LazyFrame,
    orders: pl.LazyFrame,
    engagement: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    programmes = night.settings.routing.programmes
    experiments = {name: programme.experiment for name, programme in programmes.items() if programme.experiment}
    first = _sent(context, night).group_by("programme").agg(pl.col("as_of").min()).collect()
    begun = [(experiments[name], day + dt.timedelta(days=1)) for name, day in first.iter_rows() if name in experiments]
    results = comparing.experiment_results(
        assignments,
        orders,
        resolved(engagement, identity_map),
        {experiment: min(day for other, day in begun if other == experiment) for experiment, _ in begun},
        shop=night.settings,
        shop_id=night.shop,
        as_of=night.as_of,
    )
    told = results.filter(pl.col("metric").is_in(["margin", "revenue"])).select("sentence", "note")
    context.add_output_metadata({"results": dg.MetadataValue.md(markdown(told, longest=300))})
    return results


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


def _sent(context: dg.AssetExecutionContext, night: Night) -> pl.LazyFrame:
    """The ledger's lines of the messages of earlier nights that went out."""
    lines = context.resources.lake.scan(contracts.registry()["dispatch.ledger"], night.shop)
    return lines.filter((pl.col("event") == "exported") & (pl.col("as_of") < night.as_of))
