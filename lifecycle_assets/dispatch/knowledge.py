"""What the models know of each customer tonight, as arrays that are quick to combine for a million of them.

The posteriors give the expected response of a customer relative to the shop's: on a channel (mean / shop rate), to a kind of
content, at a discount tier (their own, else their segment's). Each factor comes with the standard deviation of its logarithm.
Of a Beta posterior it is that of the log-normal distribution with the same mean and variance: its square is log(1 + beta /
(alpha (alpha + beta + 1))). Where nothing is known a factor is 1 without deviation.

Uplift is that of one campaign, the one of the highest Qini among those whose uplift is used (models.uplift_evaluation): data
does not tell which of the shop's programmes repeats which campaign. Scores that are not to be used are not looked at.

Of the orders that the shop ascribes to messages some would have come anyway. An order that is caused is always ascribed, one
that comes anyway where the customer also responds to the message, which they are taken to do as often as everybody. So a
campaign of the effect E and the response B without treatment says that E / (E + B q) of the ascribed orders are caused, q
being the shop's response rate (1, as if all were ascribed, where no channel tells of clicks). Where uplift is used E is the
mean of the positive effects. Else the configured share, held as loosely as one of which nothing is known, is averaged with
what the interval of each randomised campaign says, by precision. A programme whose own experiment has measured its share has
that one, drawn towards the shop's and those of the others; all other programmes have the mean that the measured ones are
drawn to (models.caused_share).

A campaign shows the orders that a message brings less those that it prevents, and never the two apart: those prevented lie
between none and all that come anyway (Kallus, What's the harm?, NeurIPS 2022). Who was put off stays away, so that an order
prevented is worth `lost_order_weight` of those brought. How many of the orders that come anyway are prevented is taken from
the tenth of the customers in which they are most; where no tenth's effect is below 0, none are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import polars as pl

from lifecycle_assets.confidence import Z
from lifecycle_assets.contracts import Contract
from lifecycle_assets.models.cadence_posteriors import CadencePosteriors
from lifecycle_assets.models.caused_share import CausedShare, believed
from lifecycle_assets.models.channel_posteriors import ChannelPosteriors
from lifecycle_assets.models.discount_posteriors import DiscountPosteriors
from lifecycle_assets.models.nba_scores import NbaScores
from lifecycle_assets.models.policy_evaluation import PolicyEvaluation
from lifecycle_assets.models.propensity_messages import TELL_CLICKS
from lifecycle_assets.models.recommendations import UserRecommendations
from lifecycle_assets.models.registry import Registry
from lifecycle_assets.models.send_time_posteriors import SendTimePosteriors
from lifecycle_assets.models.uplift_evaluation import UpliftEvaluation
from lifecycle_assets.models.uplift_scores import UpliftScores
from lifecycle_assets.settings import Routing
from lifecycle_assets.settings.posteriors import Posteriors

TOP_PRODUCTS = 3
# Variance of a share that is anything between 0 and 1.
ANY_SHARE = 1 / 12
# No campaign tells a share more closely.
LEAST_WIDTH = 0.01
Name = TypeVar("Name", str, float)


# The tables of `Knowledge`, in its order.
READS: tuple[Contract, ...] = (
    ChannelPosteriors,
    NbaScores,
    DiscountPosteriors,
    SendTimePosteriors,
    CadencePosteriors,
    UpliftScores,
    UpliftEvaluation,
    CausedShare,
    UserRecommendations,
    PolicyEvaluation,
    Registry,
)
# The stored models whose scores rules may ask of (see model_fields).
SCORED = ("churn_risk", "propensity_buy", "propensity_upgrade")


@dataclass(frozen=True)
class Knowledge:
    """The tables of the models that decisions read; each may be empty."""

    channel_posteriors: pl.LazyFrame
    nba_scores: pl.LazyFrame
    discount_posteriors: pl.LazyFrame
    send_time_posteriors: pl.LazyFrame
    cadence_posteriors: pl.LazyFrame
    uplift_scores: pl.LazyFrame
    uplift_evaluation: pl.LazyFrame
    caused_share: pl.LazyFrame
    user_recommendations: pl.LazyFrame
    policy_evaluation: pl.LazyFrame
    registry: pl.LazyFrame


def nothing_known() -> Knowledge:
    """That of a shop without models: every table empty."""
    return Knowledge(*(contract.empty().lazy() for contract in READS))


@dataclass(frozen=True)
class Factors(Generic[Name]):
    """Factors of the response, one row per name and one column per customer, and the deviation of their logarithms."""

    names: Sequence[Name]
    factor: np.ndarray
    log_sd: np.ndarray

    def of(self, customers: np.ndarray | slice) -> "Factors[Name]":
        return Factors(self.names, self.factor[:, customers], self.log_sd[:, customers])


@dataclass(frozen=True)
class ChannelFacts:
    """What the whole shop's evidence says of a channel."""

    shop_rate: float
    shop_sent: int
    order_rate: float
    unsubscribe_rate: float


@dataclass(frozen=True)
class Bearing:
    """How messages of the last 7 days (the load) wear off the response of customers, in their order: by `fatigue` a message,
    from the load `typical` on, at which their factors hold; and how they raise the shop's unsubscribe rates, over none by
    `growth` a message, from `shop_load` on, at which those hold."""

    fatigue: np.ndarray
    typical: np.ndarray
    growth: float
    shop_load: float

    def rested(self, load: np.ndarray) -> np.ndarray:
        """Factor of each customer's response at their load."""
        return np.exp(-self.fatigue * (load - self.typical))

    def leaving(self, load: np.ndarray) -> np.ndarray:
        """Factor of the unsubscribe rate at each customer's load."""
        return (1 + self.growth * load) / (1 + self.growth * self.shop_load)

    def of(self, customers: np.ndarray | slice) -> "Bearing":
        return Bearing(self.fatigue[customers], self.typical[customers], self.growth, self.shop_load)


@dataclass(frozen=True)
class Uplift:
    """What campaigns say of messages: `caused`, the share of ascribed orders that messages cause, where their own experiment
    does not tell it; and of customers, in their order, `cate` and `segment` (NaN and null without an estimate); `effect`, the
    orders that a message causes, less those that it may prevent for good, over the mean of those that messages cause; and
    `anyway`, those that come without it, over the mean (both 1 without an estimate). The effect on those for whom a message is
    of no use or harm is 0."""

    campaign: str | None
    caused: float
    cate: np.ndarray
    segment: pl.Series
    effect: np.ndarray
    anyway: np.ndarray

    def of(self, customers: np.ndarray | slice) -> "Uplift":
        return Uplift(
            self.campaign,
            self.caused,
            self.cate[customers],
            self.segment[customers],
            self.effect[customers],
            self.anyway[customers],
        )


@dataclass(frozen=True)
class Known:
    """What is known of customers, in their order; `sent` counts the settled messages of each content, `caused` is the share of
    ascribed orders that messages cause, of the experiments that have measured it."""

    channels: Factors[str]
    contents: Factors[str]
    tiers: Factors[float]
    facts: Mapping[str, ChannelFacts]
    sent: Mapping[str, int]
    bearing: Bearing
    uplift: Uplift
    caused: Mapping[str, float]
    versions: Mapping[str, int | str | None]

    def of(self, customers: np.ndarray | slice) -> "Known":
        """The same of these customers only, given by their positions."""
        return Known(
            self.channels.of(customers),
            self.contents.of(customers),
            self.tiers.of(customers),
            self.facts,
            self.sent,
            self.bearing.of(customers),
            self.uplift.of(customers),
            self.caused,
            self.versions,
        )


def known(profiles: pl.DataFrame, knowledge: Knowledge, routing: Routing) -> Known:
    """What the tables say of the customers of `profiles` (their customer_id and loyalty_segment), in that order."""
    customers = profiles.select("customer_id").with_row_index("customer")
    channels: list[str] = sorted(routing.channels)
    relative_variance = pl.col("beta") / (pl.col("alpha") * (pl.col("alpha") + pl.col("beta") + 1))
    on_channels = knowledge.channel_posteriors.filter(pl.col("shop_rate") > 0).with_columns(
        factor=pl.col("mean") / pl.col("shop_rate"), log_sd=relative_variance.log1p().sqrt()
    )
    deviation = pl.col("multiplier_sd").alias("log_sd")
    contents = sorted({offer.content_type for offer in routing.offers.values()})
    facts = _facts(knowledge.channel_posteriors)
    uplift = _uplift(knowledge, customers, routing.posteriors, _response_rate(facts))
    caused, of_others = _measured(knowledge.caused_share, uplift.caused)
    return Known(
        _factors(on_channels, customers, "channel", channels),
        _factors(
            knowledge.nba_scores.with_columns(deviation, factor="multiplier"), customers, "content_type", contents
        ),
        _tiers(knowledge.discount_posteriors.with_columns(deviation, factor="lift"), profiles, customers, routing),
        facts,
        dict(knowledge.nba_scores.group_by("content_type").agg(pl.col("n_sent").sum()).collect().iter_rows()),
        _bearing(knowledge.cadence_posteriors, customers),
        replace(uplift, caused=of_others),
        caused,
        {
            **_in_force(knowledge.registry),
            "posteriors": _latest(knowledge.channel_posteriors),
            "uplift_campaign": uplift.campaign,
        },
    )


def ranking_in_force(knowledge: Knowledge, routing: Routing) -> str:
    """The ranking profile that decides tonight: the one that proved itself, else the configured one."""
    proved = knowledge.policy_evaluation.filter("is_in_force").select("policy").collect()["policy"].to_list()
    return next((name for name in proved if name in routing.rankings), routing.ranking)


def uplift_in_use(uplift_evaluation: pl.LazyFrame) -> pl.LazyFrame:
    """campaign_id of the campaign whose uplift counts: one row, or none."""
    return (
        uplift_evaluation.filter(pl.col("chosen") & pl.col("is_used"))
        .sort("qini", "campaign_id", descending=[True, False], nulls_last=True)
        .select("campaign_id")
        .head(1)
    )


def products(recommendations: pl.LazyFrame, customers: pl.Series) -> pl.DataFrame:
    """customer_id, products: the first recommendations for each of these customers who has any, as a JSON list."""
    return (
        recommendations.filter(pl.col("rank") <= TOP_PRODUCTS)
        .join(customers.alias("customer_id").to_frame().lazy(), on="customer_id", how="semi")
        .sort("customer_id", "rank")
        .group_by("customer_id", maintain_order=True)
        .agg(products="item_id")
        .with_columns(pl.struct("products").struct.json_encode().str.strip_prefix('{"products":').str.head(-1))
        .collect()
    )


def _factors(frame: pl.LazyFrame, customers: pl.DataFrame, by: str, names: Sequence[Name]) -> Factors[Name]:
    found = Factors(names, np.ones((len(names), customers.height)), np.zeros((len(names), customers.height)))
    _fill(found, frame.join(customers.lazy(), on="customer_id").select("customer", by, "factor", "log_sd"), by)
    return found


def _fill(factors: Factors[Name], frame: pl.LazyFrame, by: str) -> None:
    """Put the rows of `frame` (customer, `by`, factor, log_sd) in their places."""
    places = pl.DataFrame({by: factors.names}, schema_overrides={by: frame.collect_schema()[by]}).with_row_index("name")
    rows = frame.join(places.lazy(), on=by).collect()
    where = rows["name"].to_numpy(), rows["customer"].to_numpy()
    factors.factor[where], factors.log_sd[where] = rows["factor"].to_numpy(), rows["log_sd"].to_numpy()


def _tiers(frame: pl.LazyFrame, profiles: pl.DataFrame, customers: pl.DataFrame, routing: Routing) -> Factors[float]:
    """The factor of each discount tier: the customer's own, else that of their loyalty segment."""
    of_segments = profiles.select(unit="loyalty_segment").with_row_index("customer").lazy()
    segments = frame.filter(pl.col("level") == "segment").join(of_segments, on="unit")
    own = frame.filter(pl.col("level") == "customer").rename({"unit": "customer_id"})
    tiers = [float(tier) for tier in routing.posteriors.discount_tiers]
    factors = _factors(own.clear(), customers, "tier", tiers)
    for rows in (segments, own.join(customers.lazy(), on="customer_id")):
        _fill(factors, rows.select("customer", "tier", "factor", "log_sd"), "tier")
    return factors


def _facts(channel_posteriors: pl.LazyFrame) -> dict[str, ChannelFacts]:
    rows = channel_posteriors.group_by("channel").agg(
        pl.first("shop_rate", "shop_sent", "order_rate", "unsubscribe_rate")
    )
    return {row[0]: ChannelFacts(*row[1:]) for row in rows.sort("channel").collect().iter_rows()}


def _in_force(registry: pl.LazyFrame) -> dict[str, int]:
    """The version in force of each stored model whose scores may have been asked of."""
    champions = registry.filter(pl.col("is_champion") & pl.col("model").is_in(SCORED)).sort("model")
    return dict(champions.select("model", "version").collect().iter_rows())


def _latest(channel_posteriors: pl.LazyFrame) -> str | None:
    night = channel_posteriors.select(pl.max("as_of")).collect().item()
    return night and str(night)


def _bearing(cadence_posteriors: pl.LazyFrame, customers: pl.DataFrame) -> Bearing:
    of_shop = ("unsubscribe_growth", "shop_load")
    growth, shop_load = cadence_posteriors.select(pl.first(*of_shop)).collect().row(0) or (None, None)
    rows = (
        customers.lazy()
        .join(cadence_posteriors.select("customer_id", "fatigue", "typical_load"), on="customer_id", how="left")
        .sort("customer")
        .select(pl.col("fatigue", "typical_load").fill_null(0.0))
        .collect()
    )
    return Bearing(rows["fatigue"].to_numpy(), rows["typical_load"].to_numpy(), growth or 0.0, shop_load or 0.0)


def _response_rate(facts: Mapping[str, ChannelFacts]) -> float:
    """Responses per message on the channels that tell of clicks; 1 where there is none."""
    told = [facts[channel] for channel in TELL_CLICKS if channel in facts]
    sent = sum(channel.shop_sent for channel in told)
    return sum(channel.shop_sent * channel.shop_rate for channel in told) / sent if sent else 1.0


def _uplift(knowledge: Knowledge, customers: pl.DataFrame, settings: Posteriors, response_rate: float) -> Uplift:
    used = uplift_in_use(knowledge.uplift_evaluation).collect()
    campaign = used.item() if used.height else None
    scores = knowledge.uplift_scores.filter(pl.col("is_used") & (pl.col("campaign_id") == pl.lit(campaign, pl.String)))
    prevented = (settings.lost_order_weight - 1) * _prevented(scores) * pl.col("baseline_response")
    effect = (
        pl.when(pl.col("uplift_segment") != "sleeping_dog").then((pl.col("cate") - prevented).clip(0.0)).otherwise(0.0)
    )
    scores = scores.select("customer_id", "cate", "uplift_segment", effect=effect, anyway="baseline_response")
    mean_effect, mean_anyway = scores.select(pl.col("cate").clip(0.0).mean(), pl.mean("anyway")).collect().row(0)
    rows = customers.lazy().join(scores, on="customer_id", how="left").sort("customer").collect()
    unknown = rows["effect"].is_null().to_numpy()
    relative = (
        np.where(unknown, 1.0, rows[name].to_numpy() / mean if mean else 0.0)
        for name, mean in (("effect", mean_effect), ("anyway", mean_anyway))
    )
    caused = (
        caused_by_campaigns(knowledge.uplift_evaluation, settings.caused_share, response_rate)
        if mean_effect is None
        else _caused(mean_effect, mean_anyway, response_rate)
    )
    return Uplift(campaign, caused, rows["cate"].fill_null(np.nan).to_numpy(), rows["uplift_segment"], *relative)


def _measured(caused_share: pl.LazyFrame, shop_share: float) -> tuple[dict[str, float], float]:
    """Experiment -> share of the ascribed orders that its messages cause, of those that have measured it; and that of all
    others."""
    rows = caused_share.filter(pl.col("measured").is_not_null()).sort("experiment").collect()
    if rows.is_empty():
        return {}, shop_share
    shares, of_others = believed(shop_share, rows["measured"].to_numpy(), rows["error"].to_numpy())
    return dict(zip(rows["experiment"], shares.tolist(), strict=True)), of_others


def _prevented(scores: pl.LazyFrame) -> float:
    """The highest share of the orders that come anyway which a message prevents in some tenth of the customers."""
    tenths = (
        scores.group_by("uplift_decile")
        .agg(pl.mean("cate", "baseline_response"))
        .filter(pl.col("baseline_response") > 0)
    )
    most = tenths.select((-pl.col("cate") / pl.col("baseline_response")).max()).collect().item()
    return min(max(most or 0.0, 0.0), 1.0)


def _caused(effect: float, anyway: float, response_rate: float) -> float:
    orders = effect + anyway * response_rate
    return effect / orders if effect > 0 else 0.0


def caused_by_campaigns(uplift_evaluation: pl.LazyFrame, caused_share: float, response_rate: float) -> float:
    """The share of ascribed orders that messages cause, from the configured one and the average effects of the randomised
    campaigns."""
    told = uplift_evaluation.filter(pl.col("chosen") & pl.col("randomised") & (pl.col("ate_hi") > pl.col("ate_lo")))
    rows = told.sort("campaign_id").select("control_cr", "ate_lo", "ate_hi").collect()
    shares, weights = [caused_share], [1 / ANY_SHARE]
    for anyway, *ends in rows.iter_rows():
        low, high = (_caused(end, anyway, response_rate) for end in ends)
        shares.append((low + high) / 2)
        weights.append((2 * Z / max(high - low, LEAST_WIDTH)) ** 2)
    return float(np.average(shares, weights=weights))
