"""With which probability does the policy take each of a customer's arms, and which one does it take tonight?

For a ranking profile r and the K arms that it does not veto

    pi_r(a) = share ((1 - K eps) thompson_r(a) + eps) + (1 - share) [a has r's highest score]

where thompson_r(a) is the share of draws from the posteriors in which a has the highest score (Thompson, Biometrika, 1933), so
that what is uncertain is tried more often, and eps keeps every arm above 0, as off-policy evaluation needs. The arm is drawn
from pi of the ranking in force by one number of the customer's own. pi is exact, whatever the number of draws behind
thompson_r: it is what was drawn from. With one arm it is 1.
"""

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from lifecycle_assets.settings import Exploration


@dataclass(frozen=True)
class Choice:
    """`taken` (customer) is the place of the arm taken, -1 for none; `pi` ranking x customer x arm; `explores` (customer)
    whether the arm was drawn and not simply the best."""

    taken: np.ndarray
    pi: np.ndarray
    explores: np.ndarray


def choose(
    scores: np.ndarray,
    exponents: np.ndarray,
    log_sd: np.ndarray,
    factors: np.ndarray,
    keys: np.ndarray,
    in_force: int,
    settings: Exploration,
) -> Choice:
    """The choice among each customer's arms. `scores` are ranking x customer x arm, 0 where vetoed or where there is none;
    `exponents` say with which power of the response each ranking's score grows; `log_sd` and `factors` (customer x arm x
    factor) how uncertain the response is (see exploration_kernel); `keys` are the customers' random keys."""
    from lifecycle_assets.dispatch.exploration_kernel import chances_to_be_best, uniforms

    thompson, possible = np.zeros_like(scores), scores > 0
    count = possible.sum(axis=2, keepdims=True)
    contested = np.flatnonzero((count[:, :, 0] > 1).any(axis=0))
    logs = np.log(scores[:, contested], out=np.full_like(scores[:, contested], -np.inf), where=possible[:, contested])
    thompson[:, contested] = chances_to_be_best(
        logs, exponents, log_sd[contested], factors[contested], keys[contested], settings.draws, _normals()
    )
    best = np.zeros_like(scores)
    np.put_along_axis(best, scores.argmax(axis=2)[:, :, None], 1.0, axis=2)
    drawn = (1 - count * settings.eps) * thompson + settings.eps
    pi = settings.share * np.where(count == 1, best, drawn) + (1 - settings.share) * best
    pi = np.where(possible, pi, 0.0)
    chance = uniforms(keys)
    explores = (chance < settings.share) & (count[in_force, :, 0] > 1)
    # The one number says first whether the customer explores, then, spread out again, which arm it is.
    spread = np.divide(chance, settings.share, out=np.zeros_like(chance), where=explores)
    upto = np.cumsum(np.where(possible[in_force], drawn[in_force], 0.0), axis=1)
    place = (spread[:, None] * upto[:, -1:] > upto).sum(axis=1)
    taken = np.where(explores, place, best[in_force].argmax(axis=1))
    return Choice(np.where(count[in_force, :, 0] > 0, taken, -1), pi, explores)


@cache
def _normals() -> np.ndarray:
    """The normal distribution as 2^12 values, each the middle of an interval of equal probability."""
    return np.array([NormalDist().inv_cdf((n + 0.5) / 2**12) for n in range(2**12)])
