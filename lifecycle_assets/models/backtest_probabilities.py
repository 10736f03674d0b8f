"""Did what was foretold happen, as often as the probabilities said, and to those with the high ones?

    churn_risk          churned by the shop's rule one label window later; simple rule: days since the last purchase (none of
                        subscriptions and prepaid: all alike), and for everybody the share of the model's own last test
    propensity_buy      bought the product within 30 days; rule: how often the customer had bought it, and the share of
                        customers who did in the 30 days before
    propensity_respond  did it within 7 days of a message of the next 30 days; rule: how often the customer had done it before

Outcomes are by the definitions that the models are trained by. Answers are settled up to the last order day or the last moment
of a message, whichever is earlier: orders and messages may be exported on different days. Where a model could not be trained
the verdict says so.
"""

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from lifecycle_assets.features.churn_labels import churn_labels, label_days
from lifecycle_assets.models.backtest_figures import of_probabilities
from lifecycle_assets.models.backtest_known import (
    UNTRAINED,
    Judged,
    Known,
    Scores,
    drawn_customers,
    of_profiles,
    unsettled,
)
from lifecycle_assets.models.champion import headline
from lifecycle_assets.models.churn_risk import ChurnRisk
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.propensity_buy import BUY_DAYS, PropensityBuy
from lifecycle_assets.models.propensity_messages import DEEDS, RESPOND_DAYS
from lifecycle_assets.models.propensity_pairs import bought_after, shelf
from lifecycle_assets.models.propensity_respond import GLOBAL, OUTCOMES, RESPOND, PropensityRespond, sent_messages

MESSAGE_DAYS = 30


def churn_risk(then: Scores, origin: dt.date, known: Known) -> Iterator[Judged]:
    churn, zone = known.settings.customer.churn, known.settings.timezone
    until = origin + dt.timedelta(days=label_days(churn))
    rows = of_profiles(then[ChurnRisk.table], known).drop_nulls("churn_probability").collect()
    if until > known.settled or rows.is_empty():
        yield Judged("all", until, [], UNTRAINED) if rows.is_empty() else unsettled("all", until, known.settled)
        return
    later = known.take(until)
    if later.subscriptions is None:
        raise ValueError("a judge of churn needs snapshots with subscriptions")
    labels = churn_labels(later.orders.lazy(), later.subscriptions.lazy(), known.shop, until, churn, zone)
    judged = rows.join(labels.select("customer_id", "churned").drop_nulls(), on="customer_id").sort("customer_id")
    is_by_recency = churn.business_type == "ecommerce"
    rule = -judged["days_to_churn"].to_numpy() if is_by_recency else np.zeros(judged.height)
    usual = headline(then[ChurnRiskEvaluation.table].collect()).get("positive_rate")
    yield _probabilities("all", until, judged, "churned", "churn_probability", rule, usual)


def propensity_buy(then: Scores, origin: dt.date, known: Known) -> Iterator[Judged]:
    until = origin + dt.timedelta(days=BUY_DAYS)
    scored = of_profiles(then[PropensityBuy.table], known).drop_nulls("probability")
    who = drawn_customers(scored, known)
    if until > known.settled or who.is_empty():
        yield Judged("all", until, [], UNTRAINED) if who.is_empty() else unsettled("all", until, known.settled)
        return
    lines, settings = known.order_lines, known.settings.scores
    on_sale = shelf(lines, known.products_on(origin), origin, settings)
    things = on_sale.products.select("product_id", "basis", "thing", "buyers_30d")
    bought = bought_after(lines, on_sale, who, BUY_DAYS).with_columns(bought=pl.lit(value=True))
    pair = ["customer_id", "basis", "thing"]
    judged = (
        scored.filter(pl.col("customer_id").is_in(who.implode()))
        .select("customer_id", "product_id", "probability")
        .collect()
        .join(things, on="product_id")
        .join(on_sale.histories.select(*pair, "times"), on=pair, how="left")
        .join(bought, on=pair, how="left")
        .with_columns(pl.col("bought").fill_null(value=False), pl.col("times").fill_null(0))
        .sort("customer_id", "product_id")
    )
    # Shares are below 1, so that they order those who bought it equally often.
    usual = judged["buyers_30d"].to_numpy()
    yield _probabilities("all", until, judged, "bought", "probability", judged["times"].to_numpy() + usual, usual)


def propensity_respond(then: Scores, origin: dt.date, known: Known) -> Iterator[Judged]:
    until = origin + dt.timedelta(days=MESSAGE_DAYS + RESPOND_DAYS)
    scored = of_profiles(then[PropensityRespond.table], known)
    if scored.limit(1).collect().is_empty():
        return
    scores = scored.drop_nulls("probability").select("customer_id", "campaign_id", "outcome", "probability")
    settled = _settled(known)
    sent = sent_messages(known.engagement, known.order_lines, min(until, settled), known.settings.timezone)
    last = origin + dt.timedelta(days=MESSAGE_DAYS)
    after = sent.filter(pl.col("day").is_between(origin, last, closed="right"))
    before = sent.filter(pl.col("day") <= origin - dt.timedelta(days=RESPOND_DAYS))
    for target in OUTCOMES:
        told = scores.filter(pl.col("outcome") == target).drop("outcome").collect().lazy()
        is_mute = told.collect().is_empty()
        if until > settled or is_mute:
            yield Judged(target, until, [], UNTRAINED) if is_mute else unsettled(target, until, settled)
            continue
        earlier = _did(before, target).collect()
        usual = float(earlier["did"].to_numpy().mean()) if earlier.height else None
        own = earlier.group_by("customer_id").agg(own=pl.col("did").mean())
        of_campaign = told.filter(pl.col("campaign_id") != GLOBAL).rename({"probability": "of_campaign"})
        judged = (
            _did(after, target)
            .join(of_campaign, on=["customer_id", "campaign_id"], how="left")
            .join(told.filter(pl.col("campaign_id") == GLOBAL).drop("campaign_id"), on="customer_id", how="left")
            .with_columns(pl.coalesce("of_campaign", "probability").alias("probability"))
            .drop_nulls("probability")
            .join(own.lazy(), on="customer_id", how="left")
            .with_columns(pl.col("own").fill_null(usual or 0.0))
            .sort("customer_id", "message_id")
            .collect()
        )
        yield _probabilities(target, until, judged, "did", "probability", judged["own"].to_numpy(), usual)


def _probabilities(
    target: str,
    until: dt.date,
    judged: pl.DataFrame,
    label: str,
    probability: str,
    rule: np.ndarray,
    usual: float | np.ndarray | None,
) -> Judged:
    """`usual`: the share of positives as known on the day, of all rows or of each."""
    group = judged["customer_id"].rank("dense").to_numpy().astype(np.int64) - 1
    outcomes = judged[label].to_numpy().astype(bool)
    shares = None if usual is None else np.broadcast_to(usual, outcomes.shape)
    figures = list(of_probabilities(outcomes, judged[probability].to_numpy(), group, rule, shares))
    return Judged(target, until, figures)


def _settled(known: Known) -> dt.date:
    """The last day whose orders and messages are all there."""
    moments = [name for name, kind in known.engagement.collect_schema().items() if isinstance(kind, pl.Datetime)]
    last = known.engagement.select(pl.max_horizontal(pl.col(moments).max())).collect().item()
    if last is None:
        return known.settled
    return min(known.settled, last.astimezone(ZoneInfo(known.settings.timezone)).date())


def _did(sent: pl.LazyFrame, target: str) -> pl.LazyFrame:
    """customer_id, message_id, campaign_id, did of the messages whose channel tells of the target."""
    happened = {deed: pl.col(f"{deed}_at").is_not_null() for deed in DEEDS}
    is_told = pl.lit(value=True) if target == RESPOND else pl.col(f"{target}_told")
    did = pl.any_horizontal(*happened.values()) if target == RESPOND else happened[target]
    return sent.filter(is_told).select("customer_id", "message_id", "campaign_id", did=did)
