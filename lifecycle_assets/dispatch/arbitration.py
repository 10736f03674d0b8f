"""What a message is worth, and which of several wins the customer's one message of the day.

Expected value of a message = response rate * (worth of a response - its discount) - cost of the message, in the shop's
currency. The response rate is a stated prior; the worth of a response is the offer's business value, else the margin of
the customer's average order. It is what is expected of the message, not what the message causes.

Score = P^wp * R^wr * I^wi * E^we * U^wu: propensity (the response rate), relevance (does the category and the channel fit
the customer), impact (the worth v of a response scaled to 0..1 by v / (v + typical), where typical is the shop's median),
emphasis (the operator's priority / 10), uplift (1 while no uplift is estimated). A zero vetoes.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from lifecycle_assets.settings import Channel, Offer, Routing, Step

PARTS = ("score_propensity", "score_relevance", "score_impact", "score_emphasis", "score_uplift")


def margin_rate(offer: Offer | None, routing: Routing) -> pl.Expr:
    """Share of a sale that is margin: the offer's, else the customer's own where costs are known, else the shop's."""
    if offer is not None and offer.margin_rate is not None:
        return pl.lit(offer.margin_rate)
    own = pl.when(pl.col("purchase_total") > 0).then(pl.col("margin_total") / pl.col("purchase_total"))
    return own.clip(0.0, 1.0).fill_null(routing.margin_rate)


def typical_worth(profiles: pl.DataFrame, routing: Routing) -> float:
    """The median margin of an average order over all customers, in currency; 0 for a shop without customers."""
    worth = (pl.col("avg_ticket") * margin_rate(None, routing)).clip(0.0)
    return profiles.select(worth.median().fill_null(0.0)).item() if profiles.height else 0.0


def worth(offer: Offer, step: Step, channel: Channel, routing: Routing, *, typical: float) -> dict[str, pl.Expr]:
    """Expressions for discount_pct, margin_rate, the score's parts, the score and the expected value of one offer."""
    ranking = routing.ranking
    ticket = pl.col("avg_ticket").clip(0.0)
    rate = margin_rate(offer, routing)
    gross = pl.lit(offer.business_value) if offer.business_value is not None else ticket * rate
    net = gross - ticket * (offer.discount_pct / 100)
    gain = net.clip(0.0)
    parts = {
        "score_propensity": (pl.lit(step.response_rate), ranking.propensity),
        "score_relevance": (_relevance(offer, step, routing), ranking.relevance),
        "score_impact": (pl.when(gain > 0).then(gain / (gain + typical)).otherwise(0.0), ranking.impact),
        "score_emphasis": (pl.lit(offer.priority / 10), ranking.emphasis),
        "score_uplift": (pl.lit(1.0), ranking.uplift),
    }
    score = pl.lit(1.0)
    for part, weight in parts.values():
        score = score * part**weight
    return {
        "discount_pct": pl.lit(float(offer.discount_pct)),
        "margin_rate": rate,
        **{name: part for name, (part, _) in parts.items()},
        "score": score,
        "expected_value": net * step.response_rate - channel.cost,
    }


def _relevance(offer: Offer, step: Step, routing: Routing) -> pl.Expr:
    relevance = pl.lit(1.0)
    if offer.category is not None:
        fits = (pl.col("primary_category") == offer.category).fill_null(value=False)
        relevance = pl.when(fits).then(1.0).otherwise(routing.ranking.other_category)
    other = (pl.col("preferred_channel") != step.channel).fill_null(value=False)
    return relevance * pl.when(other).then(routing.ranking.other_channel).otherwise(1.0)


def choose(verdicts: Sequence[tuple[str, pl.DataFrame]], passed: int) -> np.ndarray:
    """For every customer the position of the lane that speaks to them, or whose hold is reported; -1 where none applies.

    `verdicts` holds per lane its programme and a frame, one row per customer in the same order, with `stop` (the position
    of the first gate that fails, `passed` when none does, null where the lane does not apply), `pass_qualified` and
    `score`. Within a programme the earliest step that passes wins; between programmes the highest score, of equal ones
    the programme configured first. Where nothing passes, a lane is reported for which the customer would qualify before
    one for which not, and of these the one that got furthest.
    """
    qualified = pl.col("stop") + pl.when("pass_qualified").then(passed + 1).otherwise(0)
    reach = pl.when(pl.col("stop") == passed).then(pl.lit(3 * passed)).otherwise(qualified).fill_null(-1)
    stops = np.stack([frame.select(reach.cast(pl.Int16)).to_series().to_numpy() for _, frame in verdicts])
    scores = np.stack([frame.get_column("score").fill_null(0.0).to_numpy() for _, frame in verdicts])
    names = [name for name, _ in verdicts]
    everyone = np.arange(stops.shape[1])
    # argmax gives the first of equal values, and nothing reaches beyond a pass: the earliest step that passes.
    picked = []
    for name in dict.fromkeys(names):
        own = np.array([position for position, other in enumerate(names) if other == name])
        picked.append(own[stops[own].argmax(axis=0)])
    lanes = np.stack(picked)
    reached = stops[lanes, everyone]
    through = reached == 3 * passed
    rank = np.where(through, scores[lanes, everyone], -np.inf)
    programme = np.where(through.any(axis=0), rank.argmax(axis=0), reached.argmax(axis=0))
    lane = lanes[programme, everyone]
    return np.where(stops[lane, everyone] < 0, -1, lane)


def over_limit(sends: pl.DataFrame, limit: int) -> pl.Series:
    """The customer_ids that a limit of messages leaves out: the best by score, then expected value, then id stay in."""
    order = sends.sort("score", "expected_value", "customer_id", descending=[True, True, False])
    return order.get_column("customer_id").slice(max(limit, 0))
