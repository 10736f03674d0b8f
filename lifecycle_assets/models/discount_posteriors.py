"""Which discount pays: how does the response rise with the tier, and from where on does a tier only cost margin?

The response at tier t is exp(b * h_t), b >= 0 each customer's own steepness and h the shop's curve from 0 at the lowest tier to
1 at the highest: a straight line bent by what the tiers' responses say, never falling. So no customer's response falls with
the discount. The steepness is fitted on a grid, around that of the customer's segment around the shop's, by how often
they respond (see slopes). A segment's curve is the mean of its customers'. Multipliers are 1 on average over the tiers, lifts
over the messages as they were sent; a message belongs to the nearest tier.

Large discounts go to hard cases. Each customer is compared with themselves alone, so that who they are cannot explain the
difference; when they were written to can. Where most of the messages carry the probability with which they were chosen, each is
weighted by the inverse of it, over that of its tier and clipped, as though tiers had been drawn evenly (Robins, Hernan and
Brumback, Epidemiology 2000): `logged`. Else the table says `observational`.

A tier is recommended which is the cheapest whose expected profit is within the uncertainty of the best's: the 90 % interval of
their difference, taken as normal, contains 0. The uncertainty is that of the segment's curve, for its customers as well: what
each of them is beside it evens out over them and is no reason to give all of them less than is best on average. Without any
message of a known tier the rows of segments are the prior's; a shop without evidence has no rows.
"""

import datetime as dt
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, flag, key, number, share, shop_key, table, text
from lifecycle_assets.models import slopes
from lifecycle_assets.models.blocks import of_blocks
from lifecycle_assets.models.evidence import Evidence, shop_sums
from lifecycle_assets.models.gamma_poisson import Z90, dispersion, gamma_interval
from lifecycle_assets.models.response_cells import Cells, Rates, cells, given_totals, grouped_by_rate
from lifecycle_assets.settings import Routing

SEGMENT, CUSTOMER = LEVELS = ["segment", "customer"]
LOGGED, OBSERVATIONAL, PRIOR = BASES = ["logged", "observational", "prior"]
# Rise of the log response from the lowest to the highest tier that is to be expected of any shop; a curve that rises by less
# than the least tells nothing of its shape.
USUAL_STEEPNESS, LEAST_STEEPNESS = 0.5, 0.1
# An inverse probability counts at most so many times as much as the average of its tier, and at least the reciprocal.
CLIP = 30.0


@table("models.discount_posteriors", needs=("raw.engagement",))
class DiscountPosteriors(dy.Schema):
    """Response by discount tier: a row per loyalty segment and tier, and per tier of each customer with evidence of their own;
    the others have their segment's."""

    shop_id = shop_key()
    as_of = as_of_column()
    level = dy.String(primary_key=True, check=lambda c: c.is_in(LEVELS), description="segment or customer.")
    unit = key("The loyalty segment, or the customer_id.")
    tier = dy.Float64(primary_key=True, min=0, max=100, description="The discount.", metadata={"unit": "percent"})
    multiplier = number("Response at the tier over the average response of the tiers.", "ratio", minimum=0)
    multiplier_sd = number("Standard deviation of the multiplier's logarithm.", "log ratio", minimum=0)
    lift = number(
        "Response at the tier over that of the messages as they were sent, of which models.channel_posteriors tells.",
        "ratio",
        minimum=0,
    )
    mean = share("Expected response rate at the tier; never falls with the tier.")
    lo = share("Lower end of its 90 % interval.")
    hi = share("Upper end of its 90 % interval.")
    n_sent = count("Settled messages with the tier.", "messages")
    n_response = count("Of these, responded to.", "messages")
    borrowed = share("Share of the posterior that comes from the prior.")
    expected_profit = number(
        "P(order at the tier) times (margin less discount) of an average order, per message.", "currency"
    )
    is_recommended = flag("The cheapest tier whose expected profit is within the segment's uncertainty of the best.")
    basis = text(
        "logged: tiers were drawn with known probabilities; observational: they were not, and who got which may explain the "
        "difference; prior: no evidence.",
        nullable=False,
        values=BASES,
    )


class _Curves(NamedTuple):
    """Multipliers of units by tier: mean, covariance (units x tiers x tiers), and the share of each unit's that comes from the
    prior."""

    mean: np.ndarray
    covariance: np.ndarray
    borrowed: np.ndarray


class _Shape(NamedTuple):
    """How far the log response has risen at each tier, from 0 at the first to 1 at the last, over the whole shop, and the
    covariance of what it is off the straight line."""

    at: np.ndarray
    covariance: np.ndarray

    def blurred(self, curves: _Curves) -> _Curves:
        """The same with the uncertainty of the shape."""
        both = curves.mean[:, :, None] * curves.mean[:, None, :]
        return curves._replace(covariance=curves.covariance + both * self.covariance)


def discount_posteriors(
    evidence: Evidence,
    rates: Rates | None,
    customer_orders: pl.LazyFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    routing: Routing,
) -> pl.DataFrame:
    """Rows of `DiscountPosteriors` for the segments of the evidence and its customers with messages, sorted by level, unit and
    tier. `rates` are those expected of the customers' channels, `customer_orders` is that table of features."""
    if rates is None:
        return DiscountPosteriors.empty()
    tiers = np.array(routing.posteriors.discount_tiers, dtype=np.float64)
    tier = _nearest(evidence.messages["discount_pct"], tiers)
    weight, basis = _unconfounded(evidence.messages, tier, tiers.size)
    told = evidence._replace(messages=evidence.messages.with_columns(weight=weight))
    found = cells(told, rates, tier, tiers.size)
    units = (
        evidence.customers.lazy()
        .join(_orders(customer_orders, routing.margin_rate), on="customer_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("ticket", "margin").fill_null(pl.col("ticket", "margin").mean().over("segment")).fill_null(0),
            *(pl.lit(pl.Series(name, getattr(rates, name))) for name in ("rate", "rate_cv", "order_rate", "borrowed")),
            pl.lit(pl.Series("group", grouped_by_rate(evidence, rates, found.who))),
        )
        .collect()
    )
    has, names = units[found.who], evidence.segments
    # One segment more, of nobody, has the shop's prior.
    group, segments_and_shop = has["group"].to_numpy(), names.len() + 1
    shape = _shape(found, group, segments_and_shop, tiers)
    weights = slopes.fit(found.y, found.expected, shape.at, group, segments_and_shop, USUAL_STEEPNESS)
    of_segments = shape.blurred(_segment_curves(units["group"].to_numpy(), weights, shape))
    table = pl.concat(
        [
            *_of_customers(found, has, slopes.prior(weights), of_segments.covariance, shape, tiers),
            _of_segments(found, evidence.segment[found.who], units, names, of_segments, tiers),
        ]
    )
    return table.select(
        pl.lit(shop_id).alias("shop_id"), pl.lit(as_of).alias("as_of"), pl.all(), pl.lit(basis).alias("basis")
    )


def _nearest(discount: pl.Series, tiers: np.ndarray) -> np.ndarray:
    """The number of the tier nearest to each discount; -1 where none is recorded."""
    tier = np.searchsorted((tiers[1:] + tiers[:-1]) / 2, discount.to_numpy()).astype(np.int16)
    return np.where(discount.is_null().to_numpy(), -1, tier)


def _unconfounded(messages: pl.DataFrame, tier: np.ndarray, tiers: int) -> tuple[pl.Series, str]:
    """The weights of the messages, by their inverse probabilities where most of those with a tier carry one, and the basis."""
    weight, propensity = messages["weight"], messages["propensity"]
    logged = ((propensity > 0) & (propensity < 1)).fill_null(value=False).to_numpy() & (tier >= 0)
    known = np.count_nonzero(tier >= 0)
    if not known:
        return weight, PRIOR
    if 2 * np.count_nonzero(logged) <= known:
        return weight, OBSERVATIONAL
    drawn = messages.select("responded", weight=pl.col("propensity").fill_null(0.0))
    found = shop_sums(drawn, np.where(logged, tier, -1), tiers)
    usual = found.weight / np.maximum(found.n, 1)
    with np.errstate(divide="ignore"):
        inverse = np.clip(usual[tier] / drawn["weight"].to_numpy(), 1 / CLIP, CLIP)
    return weight * pl.Series(np.where(logged, inverse, 1.0)), LOGGED


def _orders(customer_orders: pl.LazyFrame, margin_rate: float) -> pl.LazyFrame:
    """customer_id, and the value and margin of their average order, in currency, where they have one."""
    of_sales = pl.when(pl.col("purchase_total") > 0).then(pl.col("margin_total") / pl.col("purchase_total"))
    ticket = pl.when(pl.col("avg_ticket") > 0).then("avg_ticket")
    return customer_orders.select(
        "customer_id", ticket=ticket, margin=ticket * of_sales.cast(pl.Float64).fill_null(margin_rate)
    )


def _shape(found: Cells, group: np.ndarray, segments: int, tiers: np.ndarray) -> _Shape:
    """A straight line, bent by how far the tiers' responses are off what customers of different steepness on straight lines let
    expect (Gamma-Poisson), and made to rise (isotonic regression)."""
    from scipy.optimize import isotonic_regression

    straight = (tiers - tiers[0]) / max(tiers[-1] - tiers[0], 1.0)
    prior = slopes.prior(slopes.fit(found.y, found.expected, straight, group, segments, USUAL_STEEPNESS))
    responses = found.y.sum(axis=0)
    hoped = given_totals(found.y, found.expected, (prior @ _multipliers(straight))[group]).sum(axis=0)
    k = dispersion(responses, hoped)
    steepness = prior[-slopes.LEVELS :].mean(axis=0) @ slopes.SLOPES
    curve = steepness * straight + np.log((k + responses) / (k + hoped))
    curve = isotonic_regression(curve, weights=k + responses).x
    rise = curve[-1] - curve[0]
    # Level and steepness are known otherwise.
    line = np.stack([np.ones(tiers.size), straight], axis=1)
    rest = np.eye(tiers.size) - line @ np.linalg.pinv(line)
    covariance = rest @ np.diag(1 / (k + responses)) @ rest
    return _Shape((curve - curve[0]) / rise if rise > LEAST_STEEPNESS else straight, covariance)


def _multipliers(at: np.ndarray) -> np.ndarray:
    """slopes.SLOPES x tiers: 1 on average over the tiers."""
    curves = np.exp(np.outer(slopes.SLOPES, at))
    return curves / curves.mean(axis=1, keepdims=True)


def _of_customers(
    found: Cells,
    has: pl.DataFrame,
    prior: np.ndarray,
    uncertainty: np.ndarray,
    shape: _Shape,
    tiers: np.ndarray,
) -> list[pl.DataFrame]:
    """`prior` is of the groups, `uncertainty` the covariance of the segments' multipliers."""
    curves = _multipliers(shape.at)
    width = slopes.variance(prior)
    products = (curves[:, :, None] * curves[:, None, :]).reshape(len(curves), -1)
    shop_mix = _mix(found.expected.sum(axis=0))

    def of_block(block: slice) -> pl.DataFrame:
        part, group = has[block], has["group"][block].to_numpy()
        masses = slopes.posterior(found.y[block], found.expected[block], shape.at, prior[group])
        mean = masses @ curves
        covariance = (masses @ products).reshape(-1, tiers.size, tiers.size) - mean[:, :, None] * mean[:, None, :]
        borrowed = np.minimum(slopes.variance(masses) / width[group], 1.0)
        from_prior = part["borrowed"].to_numpy()[:, None]
        mix = from_prior * shop_mix + (1 - from_prior) * _mix(found.expected[block])
        units = part.select(
            pl.lit(CUSTOMER).alias("level"), "rate", "rate_cv", "order_rate", "ticket", "margin", unit="customer_id"
        )
        curves_of = shape.blurred(_Curves(mean, covariance, borrowed))
        return _table(
            units,
            curves_of,
            uncertainty[group // slopes.LEVELS],
            mix,
            found.n_sent[block],
            found.n_response[block],
            tiers,
        )

    return of_blocks(of_block, has.height)


def _segment_curves(group: np.ndarray, weights: np.ndarray, shape: _Shape) -> _Curves:
    """The mean over each segment's customers, as many of each level as there are by their `group`."""
    own, of_shop = weights[:-1], weights[-1:]
    size = np.bincount(group, minlength=len(own) * slopes.LEVELS).reshape(-1, slopes.LEVELS)
    of_means = np.einsum("gam,gt->amt", slopes.prior_masses(slopes.MEANS), _multipliers(shape.at))
    # segments x shapes x trends x means x tiers
    curves = np.einsum("sl,atlmk->satmk", size / size.sum(axis=1, keepdims=True), of_means[:, slopes.PLACES])
    mean = np.einsum("stam,satmk->sk", own, curves, optimize=True)
    spread = curves - mean[:, None, None, None]
    covariance = np.einsum("stam,satmj,satmk->sjk", own, spread, spread, optimize=True)
    return _Curves(mean, covariance, np.minimum(_width(own) / _width(of_shop), 1.0))


def _width(weights: np.ndarray) -> np.ndarray:
    """The variance of the logarithm of each segment's mean steepness."""
    of_mean, log_means = weights.sum(axis=(1, 2)), np.log(slopes.MEANS)
    return np.maximum(of_mean @ log_means**2 - (of_mean @ log_means) ** 2, 0.0)


def _of_segments(
    found: Cells, segment: np.ndarray, rows: pl.DataFrame, names: pl.Series, curves: _Curves, tiers: np.ndarray
) -> pl.DataFrame:
    def summed(values: np.ndarray) -> np.ndarray:
        total = np.zeros((names.len(), tiers.size), values.dtype)
        np.add.at(total, segment, values)
        return total

    units = (
        rows.group_by("segment")
        .agg(
            pl.col("rate", "ticket", "margin").mean(),
            rate_cv=(pl.col("rate") * pl.col("rate_cv")).pow(2).sum().sqrt() / pl.col("rate").sum(),
            order_rate=(pl.col("rate") * pl.col("order_rate")).sum() / pl.col("rate").sum(),
        )
        .sort("segment")
        .select(pl.lit(SEGMENT).alias("level"), pl.exclude("segment"), unit="segment")
    )
    return _table(
        units,
        curves,
        curves.covariance,
        _mix(summed(found.expected)),
        summed(found.n_sent),
        summed(found.n_response),
        tiers,
    )


def _mix(expected: np.ndarray) -> np.ndarray:
    """The share of each tier in what was sent, evenly where nothing was."""
    total = expected.sum(axis=-1, keepdims=True)
    return np.where(total > 0, expected / np.where(total > 0, total, 1.0), 1 / expected.shape[-1])


def _table(
    units: pl.DataFrame,
    curves: _Curves,
    uncertainty: np.ndarray,
    mix: np.ndarray,
    n_sent: np.ndarray,
    n_response: np.ndarray,
    tiers: np.ndarray,
) -> pl.DataFrame:
    """`units` has level, unit, rate, rate_cv, order_rate, ticket, margin; the rest have a row each. The rate is the average of
    the tiers in the `mix` in which they were sent; `uncertainty` the covariance of the multipliers of each unit's segment."""

    def of(name: str) -> np.ndarray:
        return units[name].to_numpy()[:, None]

    multiplier = curves.mean
    cv = np.sqrt(np.maximum(np.einsum("utt->ut", curves.covariance), 0.0)) / multiplier
    lift = multiplier / (mix * multiplier).sum(axis=1, keepdims=True)
    mean = np.minimum(of("rate") * lift, 1.0)
    low, high = gamma_interval(mean, np.sqrt((1 + of("rate_cv") ** 2) * (1 + cv**2) - 1))
    value = of("margin") - tiers / 100 * of("ticket")
    columns = {
        "tier": np.tile(tiers, (units.height, 1)),
        "multiplier": multiplier,
        "multiplier_sd": np.sqrt(np.log1p(cv**2)),
        "lift": lift,
        "mean": mean,
        "lo": low,
        "hi": np.minimum(high, 1.0),
        "n_sent": n_sent,
        "n_response": n_response,
        "borrowed": np.repeat(curves.borrowed[:, None], tiers.size, axis=1),
        "expected_profit": mean * of("order_rate") * value,
        "is_recommended": _recommended(multiplier, uncertainty, value),
    }
    repeated = units.select("level", "unit")[np.repeat(np.arange(units.height), tiers.size)]
    return repeated.with_columns(pl.Series(name, np.ravel(values)) for name, values in columns.items())


def _recommended(multiplier: np.ndarray, covariance: np.ndarray, value: np.ndarray) -> np.ndarray:
    """units x tiers, one true each. `value` is what an order earns at each tier."""
    profit = multiplier * value
    units, best = np.arange(len(profit)), profit.argmax(axis=1)
    top = value[units, best][:, None]
    variance = (
        value**2 * np.einsum("utt->ut", covariance)
        + top**2 * covariance[units, best, best][:, None]
        - 2 * value * top * covariance[units, best]
    )
    within = profit + Z90 * np.sqrt(np.maximum(variance, 0.0)) >= profit[units, best][:, None]
    return np.arange(profit.shape[1]) == within.argmax(axis=1)[:, None]
