"""The effect of campaigns as Dagster assets: wiring only."""

import dagster as dg
import polars as pl

from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.inputs.contracts import CampaignAssignments
from lifecycle_assets.models import uplift as effects
from lifecycle_assets.models import uplift_rows
from lifecycle_assets.models.uplift_chart import qini_curve
from lifecycle_assets.models.uplift_curve import UpliftCurve
from lifecycle_assets.models.uplift_evaluation import UpliftEvaluation, shown
from lifecycle_assets.night import night_of
from lifecycle_assets.wiring import HEAVY, SHOPS, picture, reads, table_out


@dg.multi_asset(
    name="uplift",
    outs={contract.table: table_out(contract, "numba", "xgboost") for contract in effects.TABLES},
    ins=reads(CampaignAssignments, IdentityMap, CustomerFeatures),
    partitions_def=SHOPS,
    required_resource_keys={"nights", "snapshots"},
    pool=HEAVY,
)
def uplift(
    context: dg.AssetExecutionContext,
    campaign_assignments: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    customer_features: pl.LazyFrame,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    night = night_of(context)
    settings, timezone = night.settings.uplift, night.settings.timezone
    assigned = uplift_rows.assigned(campaign_assignments, identity_map, night.as_of, timezone, settings.window_days)
    snapshots = {}
    for (day,), rows in assigned.sort("known").group_by("known", maintain_order=True):
        customers = rows["customer_id"].unique()
        then = context.resources.snapshots.take(night.shop, day, night.settings.customer, customers, timezone)
        snapshots[day] = then.customer_orders.join(then.customer_behaviour, on="customer_id", how="left")
    tables = effects.uplift(
        assigned,
        snapshots,
        customer_features,
        shop_id=night.shop,
        as_of=night.as_of,
        settings=settings,
        seed=night.settings.seed,
    )
    context.add_output_metadata(
        {"campaigns": dg.MetadataValue.md(shown(tables.evaluation))}, output_name=UpliftEvaluation.table
    )
    best = tables.evaluation.filter("chosen").sort("qini", "campaign_id", descending=[True, False])
    for campaign_id in best["campaign_id"].head(1).to_list():
        chart = picture(qini_curve(tables.curve, campaign_id), f"Qini curve of {campaign_id}")
        context.add_output_metadata({"chart": chart}, output_name=UpliftCurve.table)
    return tables
