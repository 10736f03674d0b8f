"""Which kind of content does each customer respond to?

A multiplier per kind of content, from shop to segment to customer: Gamma-Poisson (see gamma_poisson) of the responses to it
against those expected of the customer's channels. Each customer's responses are taken as given and only shared out among the
contents (see response_cells), so that the responses behind the channels' rates are not counted twice: with as many
messages of each content the posterior is the Dirichlet one. Multipliers are 1 on average over the contents as the shop sent
them; the others' uncertainty is in that of each.

A content nobody was sent, and a customer without evidence, have their parent's multiplier. A shop without evidence has no rows.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, share, shop_key, table
from lifecycle_assets.models.blocks import of_blocks
from lifecycle_assets.models.evidence import Evidence, codes
from lifecycle_assets.models.gamma_poisson import dispersion, dispersion_within, gamma_interval
from lifecycle_assets.models.response_cells import Cells, Rates, cells, given_totals, shared_multipliers
from lifecycle_assets.settings import Routing


@table("models.nba_scores", needs=("raw.engagement",))
class NbaScores(dy.Schema):
    """The response of each customer to each kind of content that the shop's offers have: relative to what the channels alone
    let expect, from shop to segment to customer."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    content_type = key("Kind of content.")
    multiplier = number("Response to the content over what the customer's channels let expect.", "ratio", minimum=0)
    multiplier_sd = number("Standard deviation of the multiplier's logarithm.", "log ratio", minimum=0)
    mean = share(
        "Expected response to the content, over the channels on which the customer was written to, else the shop's."
    )
    lo = share("Lower end of its 90 % interval.")
    hi = share("Upper end of its 90 % interval.")
    n_sent = count("Settled messages to the customer with the content.", "messages")
    n_response = count("Of these, responded to.", "messages")
    borrowed = share("Share of the posterior that comes from the prior.")


class _Level(NamedTuple):
    """Multipliers of units by content, and the variance of their logarithms."""

    multiplier: np.ndarray
    variance: np.ndarray


def nba_scores(
    evidence: Evidence,
    rates: Rates | None,
    *,
    shop_id: str,
    as_of: dt.date,
    routing: Routing,
) -> pl.DataFrame:
    """One row of `NbaScores` per customer of the evidence and content of an enabled programme's offers or of the evidence,
    sorted by them; `rates` are those expected of the customers' channels."""
    contents = _contents(evidence, routing)
    if rates is None or not contents:
        return NbaScores.empty()
    found = cells(evidence, rates, codes(evidence.messages["content_type"], contents), len(contents))
    parents = _segments(found, evidence.segment[found.who], evidence.segments.len())
    own = _Level(parents.multiplier[evidence.segment], parents.variance[evidence.segment])
    return _table(evidence.customers["customer_id"], rates, own, found, contents).select(
        pl.lit(shop_id).alias("shop_id"), pl.lit(as_of).alias("as_of"), pl.all()
    )


def _contents(evidence: Evidence, routing: Routing) -> list[str]:
    """Those that could be sent, and those that were."""
    sent = evidence.messages["content_type"].drop_nulls().unique().cast(pl.String).to_list()
    programmes = [programme for programme in routing.programmes.values() if programme.enabled]
    offers = {offer for programme in programmes for step in programme.steps for offer in step.offers}
    return sorted({*sent, *(routing.offers[offer].content_type for offer in offers)})


def _segments(found: Cells, segment: np.ndarray, segments: int) -> _Level:
    """The multipliers of each segment, 0 to `segments` - 1, around the shop's."""
    y, expected = found.y, found.expected
    _, base = shared_multipliers(y, expected)
    k = dispersion(y.sum(axis=0), base)
    shop, base = shared_multipliers(y, expected, k)
    shop_variance = 1 / (k + y.sum(axis=0))
    of = [segment == number for number in range(segments)]
    total = np.stack([y[rows].sum(axis=0) for rows in of])
    free = [shared_multipliers(y[rows], expected[rows] * shop) for rows in of]
    k = dispersion(total, np.stack([base for _, base in free]))
    own = [shared_multipliers(y[rows], expected[rows] * shop, k) for rows in of]
    borrowed = k / (k + np.stack([base for _, base in own]))
    multiplier = shop * np.stack([multiplier for multiplier, _ in own])
    return _Level(multiplier, 1 / (k + total) + borrowed**2 * shop_variance)


def _table(customers: pl.Series, rates: Rates, parents: _Level, found: Cells, contents: Sequence[str]) -> pl.DataFrame:
    """All columns but the first two of NbaScores; `parents` have a row per customer."""
    size, has = (customers.len(), len(contents)), found.who
    parent = parents.multiplier[has]

    def of_all(values: np.ndarray) -> np.ndarray:
        filled = np.zeros(size, values.dtype)
        filled[has] = values
        return filled

    y, hoped = of_all(found.y), of_all(given_totals(found.y, found.expected, parent))
    n_sent, n_response = of_all(found.n_sent), of_all(found.n_response)
    k = dispersion_within(found.y, found.y_squares, found.expected * parent, found.expected_squares * parent**2)
    mix = found.expected.sum(axis=0)
    mix = mix / mix.sum() if mix.sum() else np.full(len(contents), 1 / len(contents))
    own = np.tile(mix, (customers.len(), 1))
    own[has] = found.expected / found.expected.sum(axis=1, keepdims=True)

    def of_block(block: slice) -> pl.DataFrame:
        borrowed = k / (k + hoped[block])
        multiplier = parents.multiplier[block] * (k + y[block]) / (k + hoped[block])
        multiplier /= (multiplier @ mix)[:, None]
        # Of the logarithm of each multiplier over the average of them all.
        free = 1 / (k + y[block]) + borrowed**2 * parents.variance[block]
        part = mix * multiplier
        variance = np.maximum(free * (1 - 2 * part) + (part**2 * free).sum(axis=1, keepdims=True), 0.0)
        # The channels' rates are of the contents as the customer got them, as far as they are the customer's own.
        from_prior = rates.borrowed[block, None]
        as_sent = ((from_prior * mix + (1 - from_prior) * own[block]) * multiplier).sum(axis=1, keepdims=True)
        mean = np.minimum(rates.rate[block, None] * multiplier / as_sent, 1.0)
        low, high = gamma_interval(mean, np.sqrt((1 + rates.rate_cv[block, None] ** 2) * (1 + variance) - 1))
        columns = {
            "multiplier": multiplier,
            "multiplier_sd": np.sqrt(variance),
            "mean": mean,
            "lo": low,
            "hi": np.minimum(high, 1.0),
            "n_sent": n_sent[block],
            "n_response": n_response[block],
            "borrowed": borrowed,
        }
        names = customers[block]
        return pl.DataFrame(
            {
                "customer_id": names.gather(np.repeat(np.arange(names.len()), len(contents))),
                "content_type": pl.Series(contents).gather(np.tile(np.arange(len(contents)), names.len())),
                **{name: np.ravel(values) for name, values in columns.items()},
            }
        )

    return pl.concat(of_blocks(of_block, customers.len()))
