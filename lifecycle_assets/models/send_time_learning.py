"""What do messages and orders tell of the hours at which customers respond? The arrays that send times are read from."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.models import hour_curves
from lifecycle_assets.models.blocks import of_blocks
from lifecycle_assets.models.evidence import Evidence, codes
from lifecycle_assets.models.hour_curves import HOURS
from lifecycle_assets.models.response_cells import Rates
from lifecycle_assets.models.week_curve import week_curve

WEEK = 7 * HOURS
HOUR_OF_DAY = np.arange(WEEK) % HOURS
IS_WEEKEND = (np.arange(WEEK) // HOURS >= 5).astype(np.int64)
# Customers with responses from whom the shares of the curves are learnt; more of them would hardly change the shares.
LEARN_FROM = 10_000
# Rates are those of the first of several events, -log(1 - mean): infinite where a response is certain.
MOST_MEAN = 0.99


class Curves(NamedTuple):
    """What the kernel reads the best hours from: `told` per customer and `model` as it describes them, `usual` the shop's
    curve over the week, `relative` (hours x curves) the curves relative to their mean over the hours at which the shop sends;
    and the plain counts of messages and responses per customer."""

    told: tuple[np.ndarray, ...]
    model: tuple[np.ndarray, ...]
    usual: np.ndarray
    relative: np.ndarray
    sent: np.ndarray
    responses: np.ndarray


class _Messages(NamedTuple):
    """The messages, a row each: number of the customer and of the channel, local hour of the week, answer and weight; and the
    rates of response by customer and channel, 0 where a channel has none."""

    who: np.ndarray
    channel: np.ndarray
    hour: np.ndarray
    responded: np.ndarray
    weight: np.ndarray
    rates: np.ndarray


def learnt(evidence: Evidence, rates: Rates | None, orders: pl.LazyFrame) -> Curves:
    """The curves of the customers of the evidence, from it and their `orders` (customer_id, hour), weighted."""
    n, segment = evidence.customers.height, evidence.segment
    messages = _messages(evidence, rates)
    all_rows = np.arange(n)

    seen, exposure = (cells[0] for cells in _cells(messages, np.zeros(n, np.int64), 1, np.ones(WEEK), np.arange(WEEK)))
    usual = week_curve(seen, exposure)
    responses, exposed = _cells(messages, all_rows, n, usual, HOUR_OF_DAY)
    by_day = _cells(messages, all_rows, n, usual, IS_WEEKEND)

    # How customers differ is learnt from plain counts: what one message says there does not depend on its age.
    answered = np.flatnonzero(responses.any(axis=1))
    sample = answered[np.linspace(0, answered.size - 1, min(answered.size, LEARN_FROM)).astype(np.int64)]
    place = np.full(n, -1)
    place[sample] = np.arange(sample.size)
    plain = messages._replace(weight=np.ones(messages.who.size, np.float32))
    segments = segment[sample], evidence.segments.len()

    ratios, priors = hour_curves.weekly()
    fit = hour_curves.log_likelihoods(*_cells(plain, place, sample.size, usual, IS_WEEKEND), ratios)
    ratio_shares = hour_curves.shares_by_segment(fit, *segments, priors)
    chance = np.exp(hour_curves.log_likelihoods(*by_day, ratios)) * ratio_shares[segment]
    ratio = np.exp(chance @ np.log(ratios[:, 1]) / chance.sum(axis=1))

    curves, priors = hour_curves.daily()
    fit = hour_curves.log_likelihoods(*_cells(plain, place, sample.size, usual, HOUR_OF_DAY), curves)
    peaks = np.zeros((n, 1 + hour_curves.PEAKS))
    if sample.size:  # Else there is nothing that orders could foretell.
        peaks_of = _order_peaks(_orders(evidence.customers, orders), curves, priors)
        weight = hour_curves.order_weight(fit, peaks_of(sample), hour_curves.shares(fit, priors))
        if weight > 0:
            peaks = peaks_of(all_rows)
            peaks *= weight
    # Whose peak is known shows best how sharply responses follow it.
    shares = hour_curves.shares_by_segment(hour_curves.of_both(fit, peaks[sample]), *segments, priors)

    hours = _normalised(exposure) * usual
    relative = (curves / (curves[:, HOUR_OF_DAY] @ hours)[:, None]).T
    logs = np.log(relative)
    spread = (logs**2 @ shares.T - (logs @ shares.T) ** 2).T
    return Curves(
        (responses, exposed, peaks, segment, ratio),
        (np.log(shares), hour_curves.PEAK, curves, np.log(curves), relative, logs, spread),
        usual,
        relative,
        np.bincount(messages.who, minlength=n),
        np.bincount(messages.who[messages.responded], minlength=n),
    )


def _messages(evidence: Evidence, rates: Rates | None) -> _Messages:
    messages = evidence.messages
    names, mean = (rates.channels, rates.mean) if rates else ([], np.zeros((evidence.customers.height, 0)))
    # One channel more, the last, has all that have no rate.
    hazards = np.pad(-np.log1p(-np.minimum(mean, MOST_MEAN)), ((0, 0), (0, 1)))
    columns = (messages[name].to_numpy() for name in ("hour_of_week", "responded"))
    weight = messages["weight"].cast(pl.Float32).to_numpy()
    return _Messages(messages["who"].to_numpy(), codes(messages["channel"], names), *columns, weight, hazards)


def _cells(
    messages: _Messages, place: np.ndarray, n: int, usual: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Responses and exposure, n x cells each, of what the weighted messages are worth; `cell` is that of each hour of the
    week, `place` the row of each customer, -1 for none.

    A message is answered once: each response of a row was open to all messages but those answered before it, which are on
    average half of the other ones."""
    from lifecycle_assets.models.send_time_kernel import message_cells

    cells = _worth(*message_cells(*messages[:5], place, messages.rates, usual, cell, n))
    responses, exposure, answered = cells[:, 0], cells[:, 1], cells[:, 2]
    total = responses.sum(axis=1, keepdims=True)
    return responses, exposure - answered * np.maximum(total - 1, 0) / (2 * np.maximum(total, 1))


def _orders(customers: pl.DataFrame, orders: pl.LazyFrame) -> np.ndarray:
    """Orders by hour, customers x 24, of what the weighted orders are worth."""
    from lifecycle_assets.models.send_time_kernel import order_cells

    rows = orders.join(customers.lazy().select("customer_id").with_row_index("who"), on="customer_id").collect()
    columns = (rows.get_column(name).to_numpy() for name in ("who", "hour", "weight"))
    return _worth(*order_cells(*columns, customers.height))


def _order_peaks(orders: np.ndarray, curves: np.ndarray, priors: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What the orders (customers x 24) of the customers of given numbers tell of the peak of their curve, against the hours at
    which all order: log likelihoods, customers x (1 + PEAKS)."""
    usual = _normalised(orders.sum(axis=0))[None]
    bought_of = orders.sum(axis=1)
    buyers = np.flatnonzero(bought_of)
    sample = buyers[np.linspace(0, buyers.size - 1, min(buyers.size, LEARN_FROM)).astype(np.int64)]
    shares = hour_curves.shares(hour_curves.log_likelihoods(orders[sample], usual, curves), priors)

    def told(rows: np.ndarray) -> np.ndarray:
        return hour_curves.peak_log_likelihoods(hour_curves.log_likelihoods(rows, usual, curves), shares)

    def peaks_of(customers: np.ndarray) -> np.ndarray:
        peaks = np.repeat(told(np.zeros((1, HOURS))), customers.size, axis=0)
        place = np.flatnonzero(bought_of[customers])
        bought = customers[place]
        peaks[place] = np.concatenate(of_blocks(lambda block: told(orders[bought[block]]), bought.size))
        return peaks

    return peaks_of


def _worth(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums of weighted counts as counts that say as much (Kish, as in models.evidence); both arguments are in units."""
    from lifecycle_assets.models.send_time_kernel import UNIT

    total, squares = weights[:, 0] / UNIT, weights[:, 1] / UNIT
    factor = np.divide(total, squares, out=np.zeros(len(weights)), where=squares > 0) / UNIT
    return cells * factor.reshape(-1, *[1] * (cells.ndim - 1))


def _normalised(amounts: np.ndarray) -> np.ndarray:
    """As shares of the whole; equal ones where there is nothing."""
    total = amounts.sum()
    return amounts / total if total > 0 else np.full(amounts.size, 1 / amounts.size)
