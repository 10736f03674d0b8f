"""Do a shop's orders tell that customers leave for good?

A BTYD model always answers who has left, also where nothing speaks for anybody having done so. So its likelihood is held
against that of customers who buy at random at their own rates, gamma over customers, and never leave: the NBD model
(Ehrenberg, The pattern of consumer purchases, 1959), of which both BTYD models are extensions by two parameters. They tell
something where they are likelier by more than chance would make them in one shop of twenty: a likelihood ratio test, on the
careful side, as "nobody leaves" lies on the edge of the models (Self and Liang, 1987).
"""

# ruff: noqa: N803 - T is the models' own name of the time observed

import numpy as np

from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.models.btyd import Histories, Objective, histories, levels, maximise, time_scale
from lifecycle_assets.models.pareto_nbd import ParetoNbd

# Half the 95 % quantile of chi-squared with two degrees of freedom.
LIKELIER = 3.0


def is_told(model: BgNbd | ParetoNbd, frequency: np.ndarray, T: np.ndarray) -> bool:
    """Whether the customers that the model was fitted on, by likelihood alone, tell that customers leave: their repeat
    purchases and days observed."""
    rows = histories(frequency, np.zeros_like(frequency), T)
    scale = time_scale(rows)
    stays = maximise(lambda some: _log_likelihood(some, scale), rows, [(model.r, model.alpha / scale)], None)[1]
    return model.fitted.log_likelihood - stays.log_likelihood > LIKELIER


def _log_likelihood(rows: Histories, scale: float) -> Objective:
    """The NBD's log-likelihood by log r and log alpha, alpha in units of `scale` days."""
    from scipy.special import digamma, gammaln

    xs, which = levels(rows.frequency)
    per_x = np.bincount(which, rows.weight, minlength=xs.size)
    ages, age = levels(rows.T / scale)
    per_age = np.bincount(age, rows.weight, minlength=ages.size)
    bought = np.bincount(age, rows.weight * rows.frequency, minlength=ages.size)
    n, constant = rows.weight.sum(), -np.log(scale) * bought.sum()

    def log_likelihood(theta: np.ndarray) -> tuple[float, np.ndarray]:
        r, alpha = np.exp(theta)
        log_age, ended = np.log(alpha + ages), r * per_age + bought
        value = constant + per_x @ (gammaln(r + xs) - gammaln(r)) + n * r * theta[1] - ended @ log_age
        by_r = per_x @ (digamma(r + xs) - digamma(r)) + n * theta[1] - per_age @ log_age
        by_alpha = n * r / alpha - ended @ (1 / (alpha + ages))
        return float(value), np.array([by_r * r, by_alpha * alpha])

    return log_likelihood
