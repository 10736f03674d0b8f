"""A shop's visitors whose chance of buying is known at every moment.

A visitor is serious or not, once for all. Each next event of a visit is a view, a search, an addition to the cart or the end,
by chances that depend on that alone; who ends with something in the cart buys with a chance that depends on it too. So the
numbers of views, searches and carts say all there is to know, and Bayes' rule says what (`in_session`). Some come a second time
within seven days (`in_seven_days`).
"""

import datetime as dt
from collections.abc import Sequence

import numpy as np
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs.contracts import WebEvents

AS_OF = dt.date(2024, 6, 30)
ZONE = "Europe/Madrid"
SERIOUS = 0.2
KINDS = ["view", "search", "add_to_cart"]
# Of those who are not serious and of those who are: chances of each kind of event and of leaving, and of buying then.
STEPS = np.array([[0.62, 0.08, 0.03, 0.27], [0.52, 0.13, 0.20, 0.15]])
BUYS = np.array([0.10, 0.70])
RETURNS = np.array([0.4, 0.9])
LONGEST = 60


def in_session(views: np.ndarray, searches: np.ndarray, carts: np.ndarray) -> np.ndarray:
    """Probability of a purchase later in a first visit, given what was seen of it."""
    has_cart = np.asarray(carts)[:, None] > 0
    buys = np.where(has_cart, 1.0, _gets_a_cart()) * BUYS
    return (_beliefs(views, searches, carts) * buys).sum(axis=1)


def in_seven_days(
    views: np.ndarray, searches: np.ndarray, carts: np.ndarray, silent_days: np.ndarray, returned: np.ndarray
) -> np.ndarray:
    """Probability of a purchase in the seven days after a night, `silent_days` after a first visit that ended without one."""
    ended = STEPS[:, 3] * np.where(np.asarray(carts)[:, None] > 0, 1 - BUYS, 1.0)
    stays_away = 1 - RETURNS * (np.asarray(silent_days)[:, None] / 7)
    weight = _beliefs(views, searches, carts) * ended * stays_away
    returns = RETURNS * (1 - np.asarray(silent_days)[:, None] / 7) / stays_away
    # A visit does not end before its first event.
    buys = _gets_a_cart() / (1 - STEPS[:, 3]) * BUYS
    return np.where(returned, 0.0, (weight * returns * buys).sum(axis=1) / weight.sum(axis=1))


def _gets_a_cart() -> np.ndarray:
    return STEPS[:, 2] / (STEPS[:, 2] + STEPS[:, 3])


def _beliefs(*counts: np.ndarray) -> np.ndarray:
    """Posterior of being serious or not."""
    prior = np.log(np.array([1 - SERIOUS, SERIOUS]) / (1 - STEPS[:, 3]))
    log_odds = prior + sum(np.asarray(n)[:, None] * np.log(STEPS[:, kind]) for kind, n in enumerate(counts))
    likely = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
    return likely / likely.sum(axis=1, keepdims=True)


def visitors(n: int, days: int, seed: int) -> pl.DataFrame:
    """raw.web_events of `n` visitors who come first in the `days` days up to AS_OF; purchases bear a customer id."""
    rng = np.random.default_rng(seed)
    serious = (rng.random(n) < SERIOUS).astype(int)
    first = rng.uniform(0, days * 86_400, n)
    again = rng.random(n) < RETURNS[serious]
    visitor = np.concatenate([np.arange(n), np.flatnonzero(again)])
    starts = np.concatenate([first, (first + rng.uniform(0, 7 * 86_400, n))[again]])
    visits = np.arange(visitor.size)
    going, cart = visits, np.zeros(visits.size, bool)
    rows: list[tuple[np.ndarray, int, np.ndarray]] = []
    for step in range(LONGEST):
        # Every visit opens with an event, so the first draw is of those that are no end.
        chances = STEPS[serious[visitor[going]]]
        if step == 0:
            chances = np.where(np.arange(4) < 3, chances, 0.0)
            chances = chances / chances.sum(axis=1, keepdims=True)
        drawn = (rng.random((going.size, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(0, 3)
        leaves = drawn == 3
        buys = leaves & cart[going] & (rng.random(going.size) < BUYS[serious[visitor[going]]])
        cart[going[drawn == 2]] = True
        for kind, chosen in (*enumerate(drawn == k for k in range(3)), (3, buys)):
            rows.append((going[chosen], kind, np.full(chosen.sum(), step)))
        going = going[~leaves]
    which = np.concatenate([row[0] for row in rows])
    kind = np.concatenate([np.full(row[0].size, row[1]) for row in rows])
    step = np.concatenate([row[2] for row in rows])
    begin = dt.datetime.combine(AS_OF - dt.timedelta(days=days - 1), dt.time(), dt.UTC)
    seconds = starts[which] + 20 * step
    names = pl.Series([*KINDS, "purchase"])
    frame = pl.DataFrame(
        {
            "anonymous_id": pl.Series(visitor[which]).cast(pl.String).str.zfill(7),
            "session_id": pl.Series(which).cast(pl.String),
            "event_type": names.gather(kind),
            "seconds": (seconds * 1_000_000).astype(np.int64),
            "device": rng.choice(["mobile", "desktop"], which.size),
            "product_id": pl.Series(rng.integers(0, 300, which.size)).cast(pl.String),
            "seconds_on_page": rng.exponential(30, which.size),
        }
    ).with_columns(occurred_at=pl.lit(begin) + pl.duration(microseconds=pl.col("seconds")))
    frame = frame.with_columns(
        event_id=pl.format("e{}", pl.int_range(pl.len())),
        customer_id=pl.when(pl.col("event_type") == "purchase").then(pl.format("c{}", "anonymous_id")),
        value=pl.when(pl.col("event_type") == "add_to_cart").then(10.0),
    )
    return filled(WebEvents, frame.sample(fraction=1, shuffle=True, seed=seed))


def filled(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    """A frame with some of the contract's columns, the others null."""
    stamp = [pl.lit("s").alias("shop_id"), pl.lit(AS_OF).alias("as_of")]
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in [*frame.columns, "shop_id", "as_of"]]
    return contract.conform(frame.lazy().with_columns(*stamp, *absent)).collect()


def auc(label: Sequence[bool] | np.ndarray | pl.Series, score: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.asarray(label), score))
