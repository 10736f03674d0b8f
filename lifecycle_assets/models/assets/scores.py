"""Scores as Dagster assets: wiring only."""

from collections.abc import Callable
from functools import cache

import dagster as dg
import polars as pl

from lifecycle_assets.days import end_of
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.hashing import generator
from lifecycle_assets.inputs.contracts import Products, WebEvents
from lifecycle_assets.models import visitor_intent as visitor_scores
from lifecycle_assets.models import visitor_intent_evaluation as visitor_training
from lifecycle_assets.models import visitor_sessions as visits
from lifecycle_assets.models.assets.training import STORE, audit_check, in_force, trained
from lifecycle_assets.models.champion import ALL
from lifecycle_assets.models.classifier import Trained, TrainingSet
from lifecycle_assets.models.drift import described
from lifecycle_assets.models.score_training import learnt
from lifecycle_assets.models.visitor_intent import VisitorIntent
from lifecycle_assets.models.visitor_intent_evaluation import SESSION, SEVEN_DAYS, Newest, VisitorIntentEvaluation
from lifecycle_assets.night import night_of
from lifecycle_assets.wiring import HEAVY, reads, table_asset

VISITOR_MODELS = {target: f"visitor_intent_{target}" for target in (SEVEN_DAYS, SESSION)}


@dg.asset(
    **table_asset(VisitorIntentEvaluation, "xgboost", resources=(STORE,)),
    pool=HEAVY,
    ins=reads(WebEvents, Products, IdentityMap),
)
def visitor_intent_evaluation(
    context: dg.AssetExecutionContext, web_events: pl.LazyFrame, products: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    settings, zone = night.settings.scores, night.settings.timezone

    @cache
    def moments() -> pl.DataFrame:
        return visits.moments(web_events, products, night.as_of, zone, settings.snapshots + 1)

    def of_session() -> tuple[TrainingSet, Newest]:
        return visitor_training.session_rows(moments(), night.as_of, zone)

    def of_seven_days() -> tuple[TrainingSet, Newest]:
        bought = visits.purchases(web_events, identity_map, end_of(night.as_of, zone))
        return visitor_training.seven_days_rows(moments(), bought, night.as_of, zone)

    def evaluated(target: str, rows: Callable[[], tuple[TrainingSet, Newest]]) -> pl.DataFrame:
        name = VISITOR_MODELS[target]
        rng = generator(night.shop, name, night.settings.seed)

        def make() -> Trained:
            made = learnt(*rows(), visitor_training.LABEL_DAYS, night.as_of, settings, rng)
            # Of the other question the rows are moments of a visit, which nobody is asked about again.
            return described(made, visitor_scores.asked(moments(), identity_map)) if target == SEVEN_DAYS else made

        table = trained(context, VisitorIntentEvaluation, name, make, visitor_training.FEATURES[target])
        return table.with_columns(target=pl.lit(target))

    return pl.concat([evaluated(SEVEN_DAYS, of_seven_days), evaluated(SESSION, of_session)])


visitor_intent_audit = audit_check(VisitorIntentEvaluation, *VISITOR_MODELS.values())


@dg.asset(
    **table_asset(VisitorIntent, "xgboost", resources=(STORE,)),
    ins=reads(WebEvents, Products, IdentityMap, VisitorIntentEvaluation),
)
def visitor_intent(
    context: dg.AssetExecutionContext,
    web_events: pl.LazyFrame,
    products: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    visitor_intent_evaluation: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    in_seven_days, in_session = (
        in_force(
            context,
            VISITOR_MODELS[target],
            visitor_intent_evaluation.filter(pl.col("target") == target).with_columns(target=pl.lit(ALL)),
        )
        for target in VISITOR_MODELS
    )
    return visitor_scores.visitor_intent(
        visits.moments(web_events, products, night.as_of, night.settings.timezone, weeks=1),
        identity_map,
        visitor_intent_evaluation,
        in_seven_days=in_seven_days,
        in_session=in_session,
        until=end_of(night.as_of, night.settings.timezone),
        shop=night.shop,
        as_of=night.as_of,
    )
