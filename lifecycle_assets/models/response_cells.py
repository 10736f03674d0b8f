"""How often did each customer respond in each kind of situation, and how often would their channels let expect?

A situation (a cell) is a kind of content, a discount tier, a load of messages. A customer's weighted sums are brought to the
number of messages that they are worth, (sum w)^2 / sum w^2, as in evidence.py: by one factor for all their cells, so that older
messages still count less than newer ones. An answer is yes or no and varies less than a Poisson count, p (1 - p) for p:
as counts they are worth 1 / (1 - p) times as much.

Levels are left out of it. The channels' rates hold the same responses and only share a customer's messages out among cells:
`given_totals` spreads the customer's own total over them. A customer's messages are so compared with one another alone, and
keen customers who get more of a kind cannot pass for the kind's effect.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.features.quantiles import quantiles
from lifecycle_assets.models.blocks import of_blocks, side_by_side
from lifecycle_assets.models.evidence import Evidence, codes, sums
from lifecycle_assets.models.slopes import LEVELS

ITERATIONS, ENOUGH = 50, 1e-12


class Rates(NamedTuple):
    """What each customer's channels let expect of a message: `mean` is customers x `channels`. The others are over the channels
    on which the customer was written to, as often as they were; over all, as often as the shop wrote, where they never
    were: rate, rate_cv (its standard deviation over it), order_rate (orders per response), borrowed (share of the rate that
    comes from the prior)."""

    channels: list[str]
    mean: np.ndarray
    rate: np.ndarray
    rate_cv: np.ndarray
    order_rate: np.ndarray
    borrowed: np.ndarray


class Cells(NamedTuple):
    """`who` are the numbers of the customers with evidence, rising. The rest are matrices of them by cell: messages and
    responses as counted; responses and expected responses as weighted; and the sums of their squares message by message,
    which is what messages paired with themselves make of the squares of those."""

    who: np.ndarray
    n_sent: np.ndarray
    n_response: np.ndarray
    y: np.ndarray
    expected: np.ndarray
    y_squares: np.ndarray
    expected_squares: np.ndarray


def expected_rates(channel_posteriors: pl.LazyFrame, customers: pl.DataFrame) -> Rates | None:
    """Of the `customers`, from their rows of models.channel_posteriors; None where that is empty."""
    rows = channel_posteriors.join(
        customers.lazy().select("customer_id").with_row_index("who"), on="customer_id"
    ).collect()
    if rows.is_empty():
        return None
    names = rows["channel"].unique().sort().to_list()
    place = rows["who"].to_numpy(), codes(rows["channel"].cast(pl.Categorical), names)

    def matrix(column: str) -> np.ndarray:
        values = np.zeros((customers.height, len(names)))
        values[place] = rows[column].to_numpy()
        return values

    mean, n_sent = matrix("mean"), matrix("n_sent")
    used = np.where(n_sent.any(axis=1, keepdims=True), n_sent, matrix("shop_sent"))
    share = used / used.sum(axis=1, keepdims=True)
    variance = mean * (1 - mean) / (matrix("alpha") + matrix("beta") + 1)
    rate = (share * mean).sum(axis=1)
    return Rates(
        names,
        mean,
        rate,
        np.sqrt((share**2 * variance).sum(axis=1)) / rate,
        (share * mean * matrix("order_rate")).sum(axis=1) / rate,
        (share * matrix("borrowed")).sum(axis=1),
    )


def cells(evidence: Evidence, rates: Rates, cell: np.ndarray, size: int) -> Cells:
    """The cells of the customers; `cell` is each message's, 0 to size - 1, or -1 where it says nothing."""
    channel = codes(evidence.messages["channel"], rates.channels)
    group = np.where((channel < 0) | (cell < 0), -1, channel * size + cell).astype(np.int16)
    parts = of_blocks(partial(_cells, evidence, rates, group, size), evidence.customers.height)
    return Cells(*side_by_side(np.concatenate, zip(*parts, strict=True)))


def _cells(evidence: Evidence, rates: Rates, group: np.ndarray, size: int, block: slice) -> Cells:
    """Those of a block of the customers; `group` is of channel and cell."""
    first = evidence.first[block.start : block.stop + 1]
    rows = slice(first[0], first[-1])
    found = sums(evidence.messages[rows], first - first[0], group[rows], len(rates.channels) * size)
    who = np.flatnonzero(found.squares.any(axis=1))
    n, x, weight, squares, y, y_squares = (values[who].reshape(-1, len(rates.channels), size) for values in found)
    mean = rates.mean[block][who][:, :, None]
    expected = weight * mean
    both = (1, 2)
    worth = weight.sum(axis=both) / squares.sum(axis=both)
    rate = (expected * mean).sum(axis=both) / expected.sum(axis=both)
    scale = (worth / (1 - rate))[:, None]
    return Cells(
        block.start + who,
        n.sum(axis=1),
        x.sum(axis=1),
        scale * y.sum(axis=1),
        scale * expected.sum(axis=1),
        scale**2 * y_squares.sum(axis=1),
        scale**2 * (squares * mean**2).sum(axis=1),
    )


def given_totals(y: np.ndarray, expected: np.ndarray, multiplier: np.ndarray) -> np.ndarray:
    """The responses to expect in each cell where each row's total is as it is and cells respond by their multipliers."""
    share = expected * multiplier
    return share * (y.sum(axis=1) / share.sum(axis=1))[:, None]


def shared_multipliers(y: np.ndarray, expected: np.ndarray, k: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The multipliers that all rows share, most likely given each row's total, 1 on average over what was expected; cells
    are drawn towards 1 as if by k responses. And the responses that are expected without them. A cell nobody was in has 1.

    Each step raises the likelihood (Hunter, MM algorithms for generalized Bradley-Terry models, Annals of Statistics 2004).
    """
    own, total, weight = y.sum(axis=1), y.sum(axis=0) + k, expected.sum(axis=0)
    multiplier = np.ones(y.shape[1])
    if not y.sum():
        return multiplier, np.zeros(y.shape[1])
    for _ in range(ITERATIONS):
        before = multiplier
        base = (own / (expected @ multiplier)) @ expected
        # A cell of which only those were sent who never respond says nothing.
        told = base + k > 0
        multiplier = np.where(told, np.maximum(total / np.where(told, base + k, 1.0), 1e-3), 1.0)
        multiplier /= (weight @ multiplier) / weight.sum()
        if np.allclose(multiplier, before, rtol=ENOUGH, atol=0):
            break
    return multiplier, base


def grouped_by_rate(evidence: Evidence, rates: Rates, who: np.ndarray) -> np.ndarray:
    """The group of each customer: LEVELS * s + l is of segment s and of the l-th part of the rates, of as many customers
    with evidence (`who`) each: how steeply customers respond goes along with how often they do."""
    known = rates.rate[who]
    cuts = quantiles(known, [part / LEVELS for part in range(1, LEVELS)]) if known.size else np.empty(0)
    return evidence.segment * LEVELS + np.searchsorted(cuts, rates.rate, side="right")
