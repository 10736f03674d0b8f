"""What will each customer be worth? Every way of forecasting it that a shop's history allows.

    bg_nbd             BG/NBD purchases times Gamma-Gamma spend
    pareto_nbd         Pareto/NBD purchases times Gamma-Gamma spend
    gradient_boosting  boosting with a hurdle on features as of a past day, trained on what followed
    blend              the order of the better of the two BTYD models, on the level that followed a past day: isotonic
                       regression (Barlow et al., 1972) of the outcome on the forecast, over groups of customers
    past_rate          spend so far per day observed, carried on: the baseline, never chosen

BTYD values are gross purchases; they are taken times the share that is left of them after returns. Boosting and blend learn
on one past day and the `months` after it; at other horizons they follow the BTYD model. Intervals come from each model's own
predictive distribution; one factor per candidate widens them so far that they would have held as stated on the past day (a
scaled conformal score, Angelopoulos and Bates, 2021), for boosting on customers that the trial model did not learn from.
Without a past day to learn on there are the BTYD models alone; what they do with few customers stands in their modules. A
fit that does not converge is made again with their pooled priors, and the note says so.

Where the orders do not tell that customers leave (see leaving), the probability of being alive is not stated. A prior would
only have put its own guess in its place: out of time it forecast no better (a gift wholesaler, a quarter and a half year
ahead). Shops with so few repeat customers that pooled priors had a part from the start state what these say.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from lifecycle_assets.features.clv_inputs import occasions
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.models import bg_nbd, pareto_nbd
from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.models.blocks import side_by_side
from lifecycle_assets.models.btyd_value import DAYS_PER_MONTH, value_forecast
from lifecycle_assets.models.gamma_gamma import GammaGamma
from lifecycle_assets.models.leaving import is_told
from lifecycle_assets.models.pareto_nbd import ParetoNbd
from lifecycle_assets.models.value_boosting import ValueBoosting
from lifecycle_assets.settings import Customer

BTYD = {"bg_nbd": BgNbd, "pareto_nbd": ParetoNbd}
PRIORS = {"bg_nbd": bg_nbd.POOLED, "pareto_nbd": pareto_nbd.POOLED}
CANDIDATES = [*BTYD, "gradient_boosting", "blend"]
BASELINE = "past_rate"
DEFAULT = "bg_nbd"
LEVEL = 0.80
LEVEL_GROUPS = 20
WIDEST = 10.0
FULL_SEASON = 12
HELD_OUT_ONE_IN = 4


@dataclass(frozen=True)
class Buyers:
    """Customers on one day, by customer_id as `features`, the customer_orders of that day. `kept` is the share of purchase
    value that is left after returns."""

    features: pl.DataFrame
    frequency: np.ndarray
    recency: np.ndarray
    T: np.ndarray
    monetary_value: np.ndarray
    past_value: np.ndarray
    kept: float


@dataclass(frozen=True)
class Outcome:
    """What the buyers of a past day did in the `months` after it: net value (currency) and purchase days."""

    buyers: Buyers
    months: int
    value: np.ndarray
    purchases: np.ndarray


@dataclass(frozen=True)
class Forecast:
    """Per customer, and per horizon in the columns: expected value, the same discounted, the bounds of the 80 % interval,
    expected purchase days; per customer the probability of being alive, None where the orders do not tell. `model` is the
    fitted BTYD model behind it."""

    value: np.ndarray
    discounted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    purchases: np.ndarray
    p_alive: np.ndarray | None
    model: BgNbd | ParetoNbd
    note: str = ""


def buyers(snapshot: Snapshot, basis: str, settings: Customer) -> Buyers:
    """The customers of a snapshot as the candidates see them; values are of `basis`, margin or amount. A return under an
    order of its own counts at its date, one under the order itself lowers that order."""
    people = snapshot.customer_orders.sort("customer_id")
    known = occasions(people.lazy(), basis, include_first=settings.clv_inputs.include_first).collect()
    is_purchase = snapshot.orders["is_purchase"]
    # Exact sums: the order of the rows leaves no trace.
    worth = snapshot.orders[basis]
    gross = float(worth.filter(is_purchase).sum())
    return Buyers(
        people,
        *(known[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T", "monetary_value")),
        past_value=people[f"purchase_{basis}"].cast(pl.Float64).fill_null(0.0).to_numpy(),
        kept=float(np.clip(float(worth.sum()) / gross, 0.0, 1.0)) if gross > 0 else 1.0,
    )


def outcome(then: Buyers, later: Snapshot, since: dt.date, months: int, basis: str) -> Outcome:
    """What the buyers of the day `since` did after it, up to the day of the later snapshot."""
    window = later.orders.filter(pl.col("order_date") > since)
    value = window.group_by("customer_id").agg(pl.col(basis).sum().cast(pl.Float64).alias("value"))
    days = window.filter("is_purchase").group_by("customer_id").agg(pl.col("order_date").n_unique().alias("days"))
    found = (
        then.features.select("customer_id")
        .join(value, on="customer_id", how="left", maintain_order="left")
        .join(days, on="customer_id", how="left", maintain_order="left")
        .select(pl.col("value").fill_null(0.0), pl.col("days").fill_null(0).cast(pl.Float64))
    )
    return Outcome(then, months, found["value"].to_numpy(), found["days"].to_numpy())


def forecasts(
    names: Sequence[str],
    target: Buyers,
    past: Outcome | None,
    months: Sequence[int],
    settings: Customer,
    seed: int,
) -> dict[str, Forecast]:
    """The forecasts of the named candidates for the months after the target's day; those that the data does not allow are
    left out. `past` is a day before the target's with what followed it."""
    asked = [name for name in BTYD if name in names]
    # The others lean on a BTYD model.
    leaning = len(asked) < len(names)
    before = {}
    if past is not None:
        tried = BTYD if leaning else asked
        before = _btyd(tried, past.buyers, [past.months], settings)
    base_name = _nearest(before, past)
    horizons = [*months, past.months] if past else list(months)
    wanted = range(len(months))
    needed = [name for name in BTYD if name in asked or (leaning and name == base_name)]
    btyd = _btyd(needed, target, horizons, settings)
    made = {name: _horizons(btyd[name], wanted) for name in asked}
    if past is not None:
        for name in asked:
            factor = _factor(before[name].low[:, 0], before[name].high[:, 0], past.value)
            made[name] = _held(made[name], factor)
    if leaning:
        base = _horizons(btyd[base_name], wanted)
        if BASELINE in names:
            made[BASELINE] = _carried_on(base, target, months)
        if past is not None:
            at_level = _horizons(btyd[base_name], [len(months)])
            if "blend" in names:
                made["blend"] = _blend(base, at_level, past, before[base_name], months)
            if "gradient_boosting" in names:
                boosted = _boosted(base, at_level, target, past, months, seed)
                if boosted is not None:
                    made["gradient_boosting"] = boosted
    return {name: made[name] for name in names if name in made}


def _btyd(names: Iterable[str], target: Buyers, months: Sequence[int], settings: Customer) -> dict[str, Forecast]:
    """The forecasts of the BTYD models, side by side, with one thread of BLAS each: sums by several would be in another order,
    and a likelihood without a clear maximum would end elsewhere."""
    names = list(names)
    made = side_by_side(lambda name: _of_model(name, target, months, settings), names)
    return dict(zip(names, made, strict=True))


def _of_model(name: str, target: Buyers, months: Sequence[int], settings: Customer) -> Forecast:
    model = BTYD[name].fit(target.frequency, target.recency, target.T)
    # Of the fit by likelihood alone, not of one made again with priors. That a parameter lies on its bound says little: it
    # may be there because all customers are alike, and who has left is then told well.
    told = model.fitted.pooled or is_told(model, target.frequency, target.T)
    fallback = ""
    if not model.fitted.converged:
        fallback = f"{model.fitted.note}: fitted again with"
        model = BTYD[name].fit(target.frequency, target.recency, target.T, prior=PRIORS[name])
    occasions_valued = target.frequency + (1 if settings.clv_inputs.include_first else 0)
    spend = GammaGamma.fit(occasions_valued, target.monetary_value)
    made = value_forecast(
        model,
        spend,
        target.frequency,
        target.recency,
        target.T,
        target.monetary_value,
        months=tuple(months),
        annual_discount_rate=settings.clv.annual_discount_rate,
        level=LEVEL,
        occasions=occasions_valued,
    )
    note = " ".join(part for part in (fallback, model.fitted.note, spend.fitted.note) if part)
    scaled = (made.value, made.discounted, made.low, made.high)
    kept = (part * target.kept for part in scaled)
    return Forecast(*kept, made.purchases, made.p_alive if told else None, model, note)


def _horizons(forecast: Forecast, columns: Sequence[int]) -> Forecast:
    parts = ("value", "discounted", "low", "high", "purchases")
    return replace(forecast, **{name: getattr(forecast, name)[:, list(columns)] for name in parts})


def _nearest(before: Mapping[str, Forecast], past: Outcome | None) -> str:
    """The BTYD model whose forecast of what followed the past day was nearer to it; without a past day BG/NBD."""
    if past is None:
        return DEFAULT
    return min(before, key=lambda name: float(np.abs(before[name].value[:, 0] - past.value).mean()))


def _blend(base: Forecast, at_level: Forecast, past: Outcome, before: Forecast, months: Sequence[int]) -> Forecast:
    from sklearn.isotonic import IsotonicRegression

    forecast, happened = before.value[:, 0], past.value
    order = np.argsort(forecast, kind="stable")
    groups = [g for g in np.array_split(order, min(LEVEL_GROUPS, max(1, order.size // 50))) if g.size]
    centres = np.array([forecast[g].mean() for g in groups])
    means = np.array([happened[g].mean() for g in groups])
    levels = IsotonicRegression(y_min=0.0).fit(centres, means, sample_weight=[g.size for g in groups]).predict(centres)

    def levelled(values: np.ndarray) -> np.ndarray:
        """Along the groups' means; beyond the outer ones in their proportion."""
        inside = np.interp(values, centres, levels)
        above, below = levels[-1] / max(centres[-1], 1e-12), levels[0] / max(centres[0], 1e-12)
        return np.where(values > centres[-1], values * above, np.where(values < centres[0], values * below, inside))

    factor = _ratio(levelled(before.value[:, 0]), before.value[:, 0])
    held = _factor(before.low[:, 0] * factor, before.high[:, 0] * factor, happened)
    scale = _ratio(_ahead(levelled(at_level.value), base, at_level, months, past.months), base.value)
    value, discounted, low, high = (part * scale for part in (base.value, base.discounted, base.low, base.high))
    return _held(replace(base, value=value, discounted=discounted, low=low, high=high), held)


def _boosted(
    base: Forecast, at_level: Forecast, target: Buyers, past: Outcome, months: Sequence[int], seed: int
) -> Forecast | None:
    learnt, value = past.buyers.features, past.value
    held_out = np.arange(value.size) % HELD_OUT_ONE_IN == 0
    trial = ValueBoosting.fit(learnt.filter(~held_out), value[~held_out], seed)
    model = ValueBoosting.fit(learnt, value, seed)
    if model is None or trial is None:
        return None
    unseen = trial.predict(learnt.filter(held_out))
    model = replace(model, spread=trial.spread_of(unseen[1], value[held_out]))
    before = _bounds(replace(trial, spread=model.spread), *unseen)
    probability, spend = (part[:, None] for part in model.predict(target.features))
    ahead = _ahead(probability * spend, base, at_level, months, past.months)
    # Not buying for twice as long is taken to be as likely as not buying twice.
    buying = 1 - (1 - probability) ** _ratio(base.value, at_level.value)
    low, high = _bounds(model, buying, _ratio(ahead, buying))
    made = replace(base, value=ahead, discounted=ahead * _ratio(base.discounted, base.value), low=low, high=high)
    return _held(made, _factor(*before, value[held_out]))


def _ahead(level: np.ndarray, base: Forecast, at_level: Forecast, months: Sequence[int], learnt_on: int) -> np.ndarray:
    """The values at the horizons `months`, given their level at the horizon that was learnt on: in proportion to the BTYD
    model's up to there. What was learnt on less than a year bears the season: beyond it the BTYD model's own purchases
    follow."""
    in_proportion = level * _ratio(base.value, at_level.value)
    if learnt_on >= FULL_SEASON:
        return in_proportion
    return np.where(np.asarray(months) > learnt_on, level + base.value - at_level.value, in_proportion)


def _bounds(model: ValueBoosting, probability: np.ndarray, spend: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval by the rule of the BTYD values: from 0 where 0 alone has a tail's share of the outcomes."""
    tail = (1 - LEVEL) / 2
    from_zero = 1 - probability >= tail
    low = np.where(from_zero, 0.0, model.quantile(probability, spend, tail))
    return low, model.quantile(probability, spend, np.where(from_zero, LEVEL, 1 - tail))


def _carried_on(base: Forecast, target: Buyers, months: Sequence[int]) -> Forecast:
    days = np.asarray(months) * DAYS_PER_MONTH
    value = target.kept * target.past_value[:, None] / np.maximum(target.T[:, None], days) * days
    nothing = np.full_like(value, np.nan)
    return replace(base, value=value, discounted=value * _ratio(base.discounted, base.value), low=nothing, high=nothing)


def _factor(low: np.ndarray, high: np.ndarray, happened: np.ndarray) -> float:
    """By how much the intervals would have had to be wider so that LEVEL of the customers for whom more than "nothing" was
    stated lay inside; 1 where they were wide enough: one past day is no proof that they may be narrower."""
    stated = high > 0
    if not stated.any():
        return 1.0
    low, high, happened = low[stated], high[stated], happened[stated]
    needed = np.where(happened < 0, np.inf, happened / high)
    reached = np.divide(low, happened, out=np.full_like(low, np.inf), where=happened > 0)
    needed = np.maximum(needed, np.where(low > 0, reached, 0.0))
    return float(np.clip(np.quantile(needed, LEVEL, method="higher"), 1.0, WIDEST))


def _held(forecast: Forecast, factor: float) -> Forecast:
    return replace(forecast, low=forecast.low / factor, high=forecast.high * factor)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
