"""How much does a customer spend per purchase? The gamma-gamma model.

Fader and Hardie, The gamma-gamma model of monetary value, 2013. A purchase's value is gamma(p, nu); nu is gamma(q, v) over
customers and does not depend on how often they buy. Seen x repeat purchases of mean m, nu is gamma(q + p x, v + x m), so that
few purchases are drawn towards the mean over customers, p v / (q - 1). A heavy tail (q near 1) takes that mean far from
anything seen, at q = 1 to infinity: where it is above 1.5 times the repeat customers' observed mean, customers are drawn
towards the observed one, by the same weights, and the note says so. Means of zero or below (margins may be) are outside the
model: such customers are left out of the fit, which the note says too, but are expected to go on as they did. Few repeat
customers: see btyd.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.models.btyd import Fitted, Objective, Prior, levels, maximise, prior_for

# Between the fits of CDNOW (6.2, 3.7, 0.44), a gift wholesaler (2.1, 3.5, 1.0) and a grocer (0.46, 3.6, 5.9).
POOLED = Prior(centre=(2.5, 3.6, 1.1), spread=(1.0, 0.5, 1.0))
TRUSTED = 1.5
STARTS = ((4.0, 4.0, 0.7), (1.0, 2.0, 1.0), (20.0, 10.0, 0.5), (0.5, 5.0, 8.0))


class Spending(NamedTuple):
    """Distinct pairs of repeat purchases and their mean value in order, and how many customers share each."""

    frequency: np.ndarray
    mean: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class GammaGamma:
    """p, q and v (currency), the mean over repeat customers of their observed mean spend (currency), and how the fit ended."""

    p: float
    q: float
    v: float
    observed_mean: float
    fitted: Fitted

    @classmethod
    def fit(cls, frequency: np.ndarray, monetary_value: np.ndarray, *, prior: Prior | None = None) -> "GammaGamma":
        """The model of these customers: repeat purchases and the mean value of one (currency).

        Without `prior` the likelihood alone counts, the pooled prior with it below 100 repeat customers.
        """
        frame = pl.DataFrame({"x": frequency, "m": monetary_value}).cast(pl.Float64).filter(pl.col("x") > 0)
        rows = frame.filter(pl.col("m") > 0).group_by("x", "m").len("weight").sort("x", "m").cast(pl.Float64)
        distinct = Spending(*(rows[name].to_numpy() for name in rows.columns))
        n = int(distinct.weight.sum())
        observed_mean = float(distinct.mean @ distinct.weight) / n if n else 0.0
        left_out = frame.height - n
        notes = [f"mean of zero or below, not in the fit of spend: {left_out} customers"] if left_out else []
        notes += [] if n else ["no repeat purchase of known value: values are 0"]
        parameters, fitted = maximise(
            lambda rows: _log_likelihood(rows, observed_mean or 1.0),
            distinct,
            STARTS,
            prior_for(n, prior, POOLED),
            "; ".join(notes),
        )
        p, q, v = parameters.tolist()
        spend = cls(p, q, v * observed_mean, observed_mean, fitted)
        if not spend.heavy_tailed:
            return spend
        note = "; ".join(filter(None, [fitted.note, "heavy tail of spend: the observed mean for the model's"]))
        return replace(spend, fitted=replace(fitted, note=note))

    @property
    def heavy_tailed(self) -> bool:
        """The model's mean over customers is infinite or far above the observed one."""
        return self.q <= 1 or self.p * self.v / (self.q - 1) > TRUSTED * self.observed_mean

    @property
    def population_mean(self) -> float:
        """The mean (currency) towards which customers are drawn, and that of customers without a repeat purchase."""
        return self.observed_mean if self.heavy_tailed else self.p * self.v / (self.q - 1)

    def expected_spend(self, frequency: np.ndarray, monetary_value: np.ndarray) -> np.ndarray:
        """The expected value of each customer's next purchase (currency); 0 where the shop has no repeat purchase of value,
        and for customers whose purchases lost so much that the model expects a loss again."""
        weight, own_weight = max(self.q - 1, 0.0), self.p * frequency
        drawn = weight * self.population_mean + own_weight * monetary_value
        known = weight + own_weight > 0
        return np.where(known, np.maximum(drawn, 0.0) / np.where(known, weight + own_weight, 1.0), self.population_mean)

    def posterior(self, frequency: np.ndarray, monetary_value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shape and rate (currency) of each customer's nu, which is gamma distributed. After losses above v the
        rate is 0: their purchases have no value."""
        return self.q + self.p * frequency, np.maximum(self.v + frequency * monetary_value, 0.0)


def _log_likelihood(distinct: Spending, unit: float) -> Objective:
    """The log-likelihood by the log parameters, of which v is in units of `unit` of currency."""
    from scipy.special import digamma, gammaln

    x, mean, weight = distinct.frequency, distinct.mean / unit, distinct.weight
    xs, which = levels(x)
    per_x = np.bincount(which, weight, minlength=xs.size)
    n, total = weight.sum(), x * mean
    by_count = weight @ (x * np.log(total))
    constant = -weight @ np.log(mean) - n * np.log(unit)
    weighted_x = weight * x

    def log_likelihood(theta: np.ndarray) -> tuple[float, np.ndarray]:
        p, q, v = np.exp(theta)
        log_rate, shape = np.log(v + total), p * xs + q
        logs, logs_x = weight @ log_rate, weighted_x @ log_rate
        value = constant + per_x @ (gammaln(shape) - gammaln(p * xs)) - n * gammaln(q) + n * q * theta[2]
        value += p * by_count - q * logs - p * logs_x
        psi = digamma(shape)
        by_p = per_x @ (xs * (psi - digamma(p * xs))) + by_count - logs_x
        by_q = per_x @ psi - n * digamma(q) + n * theta[2] - logs
        by_v = n * q / v - (weight * (p * x + q)) @ (1 / (v + total))
        return float(value), np.array([by_p * p, by_q * q, by_v * v])

    return log_likelihood
