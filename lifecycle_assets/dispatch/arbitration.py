"""What each message is worth to each customer, and how messages compare.

    orders      = (caused x effect + anyway x the customer's) x channel x content x tier x rested, together at most 1
    expected value = orders caused x worth - all orders x discount x ticket - cost of the message - leaving x its cost

caused and anyway are the arm's base: orders per message that it causes, and those ascribed to it that come anyway. The step's
configured rate, all of it caused, is held for `prior_messages` messages, with the orders per message that the shop ascribes on
the channel, of which a share is caused (see knowledge):

    caused = (prior_messages x rate + messages x ascribed x share) / (prior_messages + messages)
    anyway = messages x ascribed x (1 - share) / (prior_messages + messages)

messages are those of the arm's content and, for no more than prior_messages of them, those of others.

effect and the customer's anyway are those of the uplift campaign over their means, so that the shop's orders are shared out
among customers and none is counted twice; 1 without a campaign, and for service messages, of which it says nothing. The factors
of channel, content and tier are the customer's, relative to the shop's. rested is exp(-fatigue x (load - the load at which they
hold)), load being the messages of the last 7 days; leaving is the channel's unsubscribe rate, which grows with the load too.
P(order) are all orders. An order is worth the offer's business value, else the margin of the customer's average order; the
discount is given to all of them. Who unsubscribes costs what is configured, else the margin of an average order.

Score = P^wp * R^wr * I^wi * E^we * U^wu: propensity P(order); relevance (the customer buys the offer's category; prefers the
channel, as long as there is no evidence of the channel, which then counts in P); impact v / (v + typical), where v = expected
value / (P U) is what an order is worth after everything but uplift and typical the shop's median margin of an order; emphasis
(the operator's priority / 10); uplift U, the effect, at most 2: scores compare customers, and beyond twice the mean an
estimate is mostly noise. A zero vetoes. Stage and recency are the programmes' own rules. So with P x I x U the order of the
scores is close to that of the expected values, and the exponents lean it to one side or another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lifecycle_assets.dispatch import rules
from lifecycle_assets.dispatch.knowledge import Known
from lifecycle_assets.dispatch.offers import Arm
from lifecycle_assets.settings import Offer, Ranking, Routing

PARTS = ("score_propensity", "score_relevance", "score_impact", "score_emphasis", "score_uplift")
MOST_UPLIFT = 2.0
# A position among customers or arms, or many that are broadcast against each other.
Place = int | slice | np.ndarray


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


@dataclass(frozen=True)
class Worth:
    """What the arms are worth to some customers. The methods take positions of arms and of customers, which are broadcast
    against each other, and give floats of that shape.

    Of each arm: `offer`, `channel`, `content`, `tier` (positions in the rows of the other fields), `service`, `caused` and
    `anyway` (orders per message), `discount` (share), `cost`, `unsubscribes` (per message), `emphasis`. Offer x customer:
    `qualifies`, `worth` of an order, `margin`, `fits` (the category). Channel x customer: `suits`. Of each customer: `ticket`,
    `rested`, `leaving` (what it costs when they unsubscribe, times the rise of the rate with their load).
    """

    known: Known
    typical: float
    offer: np.ndarray
    channel: np.ndarray
    content: np.ndarray
    tier: np.ndarray
    service: np.ndarray
    caused: np.ndarray
    anyway: np.ndarray
    discount: np.ndarray
    cost: np.ndarray
    unsubscribes: np.ndarray
    emphasis: np.ndarray
    qualifies: np.ndarray
    worth: np.ndarray
    margin: np.ndarray
    fits: np.ndarray
    suits: np.ndarray
    ticket: np.ndarray
    rested: np.ndarray
    leaving: np.ndarray

    def factors(self, arm: Place, customer: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The factors of the response: channel, content, tier."""
        known = self.known
        return (
            known.channels.factor[self.channel[arm], customer],
            known.contents.factor[self.content[arm], customer],
            known.tiers.factor[self.tier[arm], customer],
        )

    def log_sd(self, arm: Place, customer: Place) -> np.ndarray:
        """The deviations of their logarithms, in a further last dimension."""
        known = self.known
        parts = [
            known.channels.log_sd[self.channel[arm], customer],
            known.contents.log_sd[self.content[arm], customer],
            known.tiers.log_sd[self.tier[arm], customer],
        ]
        return np.stack(parts, axis=-1)

    def numbers(self, arm: Place) -> np.ndarray:
        """A number for each factor that arms may share, in a further last dimension."""
        contents, tiers = len(self.known.channels.names), len(self.known.contents.names)
        parts = [self.channel[arm], contents + self.content[arm], contents + tiers + self.tier[arm]]
        return np.stack(parts, axis=-1)

    def base(self, arm: Place, customer: Place) -> tuple[np.ndarray, np.ndarray]:
        """Orders per message that the arm causes, and those that come anyway, before the factors."""
        uplift, service = self.known.uplift, self.service[arm]
        effect = np.where(service, 1.0, uplift.effect[customer])
        return self.caused[arm] * effect, self.anyway[arm] * np.where(service, 1.0, uplift.anyway[customer])

    def orders(self, arm: Place, customer: Place) -> tuple[np.ndarray, np.ndarray]:
        """P(order), and the part of it that the message causes."""
        caused, anyway = self.base(arm, customer)
        channel, content, tier = self.factors(arm, customer)
        factor = channel * content * tier * self.rested[customer]
        orders = (caused + anyway) * factor
        most = np.divide(1.0, orders, out=np.ones_like(orders), where=orders > 1)
        return orders * most, caused * factor * most

    def unsubscribe_cost(self, arm: Place, customer: Place) -> np.ndarray:
        """What the customers cost who leave the channel, per message."""
        return self.unsubscribes[arm] * self.leaving[customer]

    def expected(self, arm: Place, customer: Place) -> np.ndarray:
        """The expected value of the message, in currency."""
        return self._expected(arm, customer, *self.orders(arm, customer))

    def _expected(self, arm: Place, customer: Place, orders: np.ndarray, caused: np.ndarray) -> np.ndarray:
        gained = caused * self.worth[self.offer[arm], customer] - orders * (self.discount[arm] * self.ticket[customer])
        return gained - self.cost[arm] - self.unsubscribe_cost(arm, customer)

    def relevance(self, arm: Place, customer: Place, ranking: Ranking) -> np.ndarray:
        of_category = np.where(self.fits[self.offer[arm], customer], 1.0, ranking.other_category)
        return of_category * np.where(self.suits[self.channel[arm], customer], 1.0, ranking.other_channel)

    def parts(self, arm: Place, customer: Place, ranking: Ranking) -> list[np.ndarray]:
        """The parts of the score, in the order of PARTS."""
        orders, caused = self.orders(arm, customer)
        effect = np.where(self.service[arm], 1.0, self.known.uplift.effect[customer])
        uplift = np.broadcast_to(effect.clip(0.0, MOST_UPLIFT), orders.shape)
        each = orders * uplift
        expected = self._expected(arm, customer, orders, caused).clip(0.0)
        value = np.divide(expected, each, out=np.zeros_like(orders), where=each > 0)
        impact = np.divide(value, value + self.typical, out=np.zeros_like(value), where=value > 0)
        emphasis = np.broadcast_to(self.emphasis[arm], orders.shape)
        return [orders, self.relevance(arm, customer, ranking), impact, emphasis, uplift]


def score(parts: Sequence[np.ndarray], ranking: Ranking) -> np.ndarray:
    """The product of the parts, each to the power of its weight."""
    weights = (ranking.propensity, ranking.relevance, ranking.impact, ranking.emphasis, ranking.uplift)
    product = np.ones_like(parts[0])
    for part, weight in zip(parts, weights, strict=True):
        product *= part if weight == 1 else part**weight
    return product


def worth(profiles: pl.DataFrame, known: Known, arms: Sequence[Arm], routing: Routing, *, typical: float) -> Worth:
    """What the arms are worth to the customers of `profiles`, whom `known` is of; `typical` is typical_worth of all."""
    names = sorted({arm.offer_name for arm in arms})
    offers = [routing.offers[name] for name in names]
    channels, contents, tiers = known.channels.names, known.contents.names, np.array(known.tiers.names)
    ticket = pl.col("avg_ticket").clip(0.0).fill_null(0.0)
    stated = pl.col("preferred_channel")
    load = profiles["sent_load"].cast(pl.Float64).to_numpy()
    caused, anyway = zip(*(_base(arm, known, routing.posteriors.prior_messages) for arm in arms), strict=True)
    return Worth(
        known,
        typical,
        offer=np.array([names.index(arm.offer_name) for arm in arms]),
        channel=np.array([channels.index(arm.lane.channel_name) for arm in arms]),
        content=np.array([contents.index(arm.offer.content_type) for arm in arms]),
        tier=np.array([np.abs(tiers - arm.offer.discount_pct).argmin() for arm in arms]),
        service=np.array([arm.lane.programme.is_service for arm in arms]),
        caused=np.array(caused),
        anyway=np.array(anyway),
        discount=np.array([arm.offer.discount_pct / 100 for arm in arms]),
        cost=np.array([arm.lane.channel.cost for arm in arms]),
        unsubscribes=np.array([_unsubscribe_rate(arm, known) for arm in arms]),
        emphasis=np.array([arm.offer.priority / 10 for arm in arms]),
        qualifies=_rows(profiles, [_qualifies(offer, routing) for offer in offers]),
        worth=_rows(profiles, [_order_worth(offer, ticket, routing) for offer in offers]),
        margin=_rows(profiles, [margin_rate(offer, routing) for offer in offers]),
        fits=_rows(profiles, [_fits(offer) for offer in offers]),
        suits=_rows(profiles, [stated.is_null() | (stated == on) | pl.lit(on in known.facts) for on in channels]),
        ticket=profiles.select(ticket).to_series().to_numpy(),
        rested=known.bearing.rested(load),
        leaving=known.bearing.leaving(load) * _rows(profiles, [_leaving(ticket, routing, typical)])[0],
    )


def _qualifies(offer: Offer, routing: Routing) -> pl.Expr:
    wanted = rules.expression(offer.when, routing.computed) if offer.when else pl.lit(value=True)
    if offer.variant is None:
        return wanted
    experiment, _, variant = offer.variant.partition(".")
    return wanted & pl.col(f"arm_{experiment}").eq_missing(pl.lit(variant))


def _order_worth(offer: Offer, ticket: pl.Expr, routing: Routing) -> pl.Expr:
    return ticket * margin_rate(offer, routing) if offer.business_value is None else pl.lit(offer.business_value)


def _fits(offer: Offer) -> pl.Expr:
    return (
        pl.lit(value=True) if offer.category is None else pl.col("primary_category").eq_missing(pl.lit(offer.category))
    )


def _leaving(ticket: pl.Expr, routing: Routing, typical: float) -> pl.Expr:
    """What it costs when a customer unsubscribes."""
    each = routing.posteriors.unsubscribe_cost
    own = pl.when(ticket > 0).then(ticket * margin_rate(None, routing)).otherwise(typical)
    return own if each is None else pl.lit(each)


def _unsubscribe_rate(arm: Arm, known: Known) -> float:
    facts = known.facts.get(arm.lane.channel_name)
    return facts.unsubscribe_rate if facts else 0.0


def _base(arm: Arm, known: Known, prior_messages: float) -> tuple[float, float]:
    """Orders per message that the arm causes, and those that come anyway."""
    facts = known.facts.get(arm.lane.channel_name)
    rate = arm.lane.step.prior(arm.lane.channel_name)
    if facts is None:
        return rate, 0.0
    # What other contents brought says less of this one than its own messages do.
    counted = min(facts.shop_sent, prior_messages + known.sent.get(arm.offer.content_type, 0))
    ascribed = counted * facts.shop_rate * facts.order_rate
    caused = known.caused.get(arm.lane.programme.experiment or "", known.uplift.caused)
    messages = prior_messages + counted
    return (prior_messages * rate + ascribed * caused) / messages, ascribed * (1 - caused) / messages


def _rows(profiles: pl.DataFrame, expressions: Sequence[pl.Expr]) -> np.ndarray:
    """The value of each expression for each customer, a row per expression."""
    everyone = pl.int_range(pl.len()).alias("customer")
    columns = profiles.select(everyone, *(e.alias(str(n)) for n, e in enumerate(expressions))).drop("customer")
    return np.stack([column.to_numpy() for column in columns]) if expressions else np.empty((0, profiles.height))


def eligible(values: np.ndarray, arms: Sequence[Arm]) -> np.ndarray:
    """`values` (arm x customer, -inf where an arm is not possible) with -inf also for the arms of a programme's later steps
    where an earlier one has an arm that is possible."""
    left = values.copy()
    steps = [(arm.lane.name, arm.lane.number) for arm in arms]
    for programme in dict.fromkeys(name for name, _ in steps):
        spoken = np.zeros(values.shape[1], bool)
        for step in sorted({step for step in steps if step[0] == programme}):
            of_step = [left[position] for position, other in enumerate(steps) if other == step]
            for row in of_step:
                row[spoken] = -np.inf
            for row in of_step:
                spoken |= row > -np.inf
    return left


def furthest(
    stops: np.ndarray, qualified: np.ndarray, values: np.ndarray, arms: Sequence[Arm], passed: int
) -> np.ndarray:
    """For every customer to whom nothing is sent the arm whose hold is reported; -1 where none applies.

    `stops` (arm x customer) is the position of the first gate that fails, -1 where the arm does not apply. An arm is taken for
    which the customer would qualify before one for which not, of these one that got furthest, and in its lane the one of the
    highest value.
    """
    reach = np.where(stops < 0, -1, stops + qualified * np.int16(passed + 1))
    first = reach.argmax(axis=0)
    lanes = [(arm.lane.name, arm.lane.number, arm.lane.channel_name) for arm in arms]
    lane = np.array([lanes.index(name) for name in lanes])
    best = np.where((reach == reach.max(axis=0)) & (lane[:, None] == lane[first]), values, -np.inf).argmax(axis=0)
    return np.where(reach.max(axis=0) < 0, -1, best)
