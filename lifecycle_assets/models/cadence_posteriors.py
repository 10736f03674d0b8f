"""How many messages a week does each customer bear?

The response falls as exp(-fatigue * messages of the last 7 days). Each customer's fatigue is fitted on a grid, around their
segment's around the shop's, by how often they respond (see slopes): who tires fast has responded less. The weekly cap is
where half of the rested response is left, log 2 / fatigue.

It assumes that a customer is not written to more in the weeks in which they are keen anyway: such weeks would hide the fatigue.
That keen customers are always written to more does no harm, since each is compared with themselves alone.

Customers also leave a channel the sooner the more they get: of a message at a load of l, u (1 + growth l) do. The growth is one
for the whole shop, at the mode of the Poisson likelihood over all evidence, u of each channel set free, times exp(-growth):
few who leave leave it at 0. Those who were written to often are taken for people like the others.

A customer without evidence has the fatigue of their segment; a shop without evidence has no rows.
"""

import datetime as dt

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, share, shop_key, table
from lifecycle_assets.models import slopes
from lifecycle_assets.models.blocks import of_blocks
from lifecycle_assets.models.evidence import Evidence, codes, shop_sums
from lifecycle_assets.models.response_cells import Rates, cells, grouped_by_rate
from lifecycle_assets.settings import Routing

# A load above it counts as this: no customer is written to more than twice a day for long.
MOST_LOAD = 14
# Fall of the log response per message that is to be expected of any shop: a tenth.
USUAL_FATIGUE = 0.1
MOST_GROWTH = 20.0
MOST_A_WEEK = 7


@table("models.cadence_posteriors", needs=("raw.engagement",))
class CadencePosteriors(dy.Schema):
    """Each customer's response to frequency: how it falls with the messages of the last 7 days, and the cap that follows."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    fatigue = number("Fall of the logarithm of the response per message of the last 7 days.", "log ratio", minimum=0)
    fatigue_lo = number("Lower end of its 90 % interval.", "log ratio", minimum=0)
    fatigue_hi = number("Upper end of its 90 % interval.", "log ratio", minimum=0)
    weekly_cap = count(
        "Messages in 7 days beyond which the response is likely below half of the rested one.", "messages", minimum=1
    )
    n_sent = count("Settled messages to the customer.", "messages")
    borrowed = share("Share of the posterior that comes from the prior.")
    typical_load = number(
        "Messages of 7 days at which the expected response holds: those before the customer's messages and, as far as their "
        "channels' rates are borrowed, before the shop's.",
        "messages",
        minimum=0,
    )
    shop_load = number("Messages of 7 days before a message, over the whole shop.", "messages", minimum=0)
    unsubscribe_growth = number(
        "Rise of the unsubscribe rate per message of the last 7 days, over the rate at none; of the whole shop.",
        "share",
        minimum=0,
    )


def cadence_posteriors(
    evidence: Evidence,
    rates: Rates | None,
    *,
    shop_id: str,
    as_of: dt.date,
    routing: Routing,
) -> pl.DataFrame:
    """One row of `CadencePosteriors` per customer of the evidence, sorted; `rates` are those expected of their channels."""
    if rates is None:
        return CadencePosteriors.empty()
    load = np.minimum(evidence.messages["messages_7d"].to_numpy(), MOST_LOAD).astype(np.int16)
    found = cells(evidence, rates, load, MOST_LOAD + 1)
    group, has = grouped_by_rate(evidence, rates, found.who), found.who
    at = -np.arange(MOST_LOAD + 1.0)
    weights = slopes.fit(found.y, found.expected, at, group[has], evidence.segments.len(), USUAL_FATIGUE)
    prior = slopes.prior(weights)
    # mean, lower end, upper end, variance: of the group, and of those with evidence in place of it
    of_group = _summary(prior)
    summary = of_group[:, group]
    of_customer = group[has]

    def summary_of(block: slice) -> np.ndarray:
        return _summary(slopes.posterior(found.y[block], found.expected[block], at, prior[of_customer[block]]))

    summary[:, has] = np.concatenate(of_blocks(summary_of, len(found.y)), axis=1)
    most = min(MOST_A_WEEK, routing.contact.cap.messages)
    n_sent = np.zeros(evidence.customers.height, np.int64)
    n_sent[has] = found.n_sent.sum(axis=1)
    shop_load, growth = _of_shop(evidence.messages, load)
    own_load = np.full(evidence.customers.height, shop_load)
    own_load[has] = -(found.expected @ at) / found.expected.sum(axis=1)
    return pl.DataFrame(
        {
            "customer_id": evidence.customers["customer_id"],
            "fatigue": summary[0],
            "fatigue_lo": summary[1],
            "fatigue_hi": summary[2],
            "weekly_cap": np.clip(np.floor(np.log(2) / summary[0]), 1, max(most, 1)).astype(np.int64),
            "n_sent": n_sent,
            "borrowed": np.minimum(summary[3] / of_group[3, group], 1.0),
            "typical_load": rates.borrowed * shop_load + (1 - rates.borrowed) * own_load,
            "shop_load": np.full(evidence.customers.height, shop_load),
            "unsubscribe_growth": np.full(evidence.customers.height, growth),
        }
    ).select(pl.lit(shop_id).alias("shop_id"), pl.lit(as_of).alias("as_of"), pl.all())


def _of_shop(messages: pl.DataFrame, load: np.ndarray) -> tuple[float, float]:
    """The weighted mean of the messages' `load`, and the growth of the unsubscribe rate with it."""
    channels, loads = messages["channel"].unique().cast(pl.String).sort().to_list(), MOST_LOAD + 1
    found = shop_sums(
        messages, codes(messages["channel"], channels) * loads + load, len(channels) * loads, "unsubscribed"
    )
    weight, sent, left = (values.reshape(-1, loads) for values in (found.weight, found.n, found.x))
    mean = (weight @ np.arange(loads)).sum() / weight.sum()
    return float(mean), _growth(sent.astype(np.float64), left.astype(np.float64))


def _growth(sent: np.ndarray, left: np.ndarray) -> float:
    """Growth of the unsubscribe rate with the load, from the messages sent and customers left by channel and load."""
    from scipy.optimize import minimize_scalar

    load = np.arange(sent.shape[1])
    of_channel = left.sum(axis=1)

    def loss(growth: float) -> float:
        exposure = sent @ (1 + growth * load)
        return float(of_channel @ np.log(exposure) - (left @ np.log1p(growth * load)).sum() + growth)

    # The search never ends on its bounds; 0 is tried by itself.
    best = minimize_scalar(loss, bounds=(0.0, MOST_GROWTH), method="bounded").x
    return float(best) if loss(best) < loss(0.0) else 0.0


def _summary(masses: np.ndarray) -> np.ndarray:
    """Mean, 5th and 95th percentile and variance of the slope of each row."""
    ends = [slopes.quantile(masses, share) for share in (0.05, 0.95)]
    return np.stack([masses @ slopes.SLOPES, *ends, slopes.variance(masses)])
