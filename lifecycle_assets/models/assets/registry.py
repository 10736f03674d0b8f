"""The registry of stored models as a Dagster asset: wiring only."""

import dagster as dg
import polars as pl

from lifecycle_assets.models import registry as stored
from lifecycle_assets.models.assets.training import STORE
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.propensity_buy import PropensityBuyEvaluation
from lifecycle_assets.models.propensity_respond import PropensityRespondEvaluation
from lifecycle_assets.models.propensity_upgrade import PropensityUpgradeEvaluation
from lifecycle_assets.models.registry import Registry
from lifecycle_assets.models.similar_items import SimilarItems
from lifecycle_assets.models.visitor_intent_evaluation import VisitorIntentEvaluation
from lifecycle_assets.night import night_of
from lifecycle_assets.wiring import asset_key, table_asset

# What is trained tonight is stored before the registry looks.
TRAINED = (
    ChurnRiskEvaluation,
    PropensityBuyEvaluation,
    PropensityRespondEvaluation,
    PropensityUpgradeEvaluation,
    SimilarItems,
    VisitorIntentEvaluation,
)


@dg.asset(**table_asset(Registry, "polars", resources=(STORE,)), deps=[asset_key(contract) for contract in TRAINED])
def registry(context: dg.AssetExecutionContext) -> pl.DataFrame:
    night, store = night_of(context), context.resources.model_store
    versions = [v for name in store.names(night.shop) for v in store.versions(night.shop, name, night.as_of)]
    return stored.registry(versions, store.root.parent, night.shop, night.as_of)
