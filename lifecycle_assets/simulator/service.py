"""What a shop knows beside orders and messages: campaigns, surveys, complaints, payments, subscriptions, visits, consents,
requests not to be written to or to be forgotten, second devices, costs, prices."""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import polars as pl

from lifecycle_assets.simulator.baskets import product_ids
from lifecycle_assets.simulator.day import NEVER, State
from lifecycle_assets.simulator.people import EFFECT, People
from lifecycle_assets.simulator.world import CATEGORIES, CHANNELS, PER_CATEGORY, World, ids

CAMPAIGNS = 3
PLANS = {"basic": 9.0, "plus": 19.0}
# Days until a basic plan is left for the better one, on average, at middling use.
UPGRADES = 400
VISIT_DAYS = 28
SUPPRESSED, FORGOTTEN, SECOND_DEVICE = 0.002, 0.0005, 0.1
# Of the visits that put something into the cart.
BUY = 0.4
MARKETING_PER_CUSTOMER = 0.004


def tables(
    world: World, people: People, state: State, prefix: str, rng: np.random.Generator
) -> Mapping[str, pl.DataFrame]:
    """The optional tables of a block, for the days of the past."""
    return {
        "campaign_assignments": campaign_assignments(world, people, rng),
        "survey_responses": survey_responses(world, people, state, prefix, rng),
        "support_tickets": support_tickets(world, people, prefix, rng),
        "subscriptions": (held := subscriptions(world, people, state, prefix, rng)),
        "payment_events": payment_events(world, held, prefix, rng),
        "web_events": web_events(world, people, state, prefix, rng),
        "consents": consents(world, people, rng),
        "suppressions": suppressions(world, people, rng),
        "erasure_requests": erasure_requests(world, people, rng),
        "identities": identities(people, prefix, rng),
    }


def campaign_assignments(world: World, people: People, rng: np.random.Generator) -> pl.DataFrame:
    """Randomised campaigns, half of the customers treated; outcomes by EFFECT, of value by spending."""
    parts = []
    for number in range(CAMPAIGNS):
        day = int(world.days * (number + 1) / (CAMPAIGNS + 1))
        who = np.flatnonzero(people.joined < day)
        treatment = rng.integers(0, 2, who.size)
        outcome = rng.random(who.size) < EFFECT[people.persuasion[who], treatment]
        parts.append(
            pl.DataFrame(
                {
                    "campaign_id": np.full(who.size, f"campaign-{number + 1}"),
                    "customer_id": people.ids().gather(who),
                    "treatment": treatment,
                    "assigned_at": np.full(who.size, _midnight(world, day), dtype="datetime64[us]"),
                    "outcome": outcome.astype(np.int64),
                    "outcome_value": np.round(np.where(outcome, 30 * people.spending[who], 0.0), 2),
                }
            ).with_columns(pl.col("assigned_at").dt.replace_time_zone("UTC"))
        )
    return pl.concat(parts)


def survey_responses(world: World, people: People, state: State, prefix: str, rng: np.random.Generator) -> pl.DataFrame:
    """One answer of every fifth customer to the recommend question: those who are likely to leave are less content."""
    who = np.flatnonzero(rng.random(people.size) < 0.2)
    content = 9.2 - 14 * people.dropout[who] - 1.0 * ~state.alive[who]
    return pl.DataFrame(
        {
            "response_id": ids(f"{prefix}-R", np.arange(who.size)),
            "customer_id": people.ids().gather(who),
            "question": np.full(who.size, "How likely are you to recommend us?"),
            "answer": np.clip(np.round(content + rng.normal(0, 1.5, who.size)), 0, 10),
            "responded_at": _moments(world, _between(people.joined[who], world.days, rng), rng),
        }
    )


def support_tickets(world: World, people: People, prefix: str, rng: np.random.Generator) -> pl.DataFrame:
    """Complaints, more of those who are likely to leave."""
    number = rng.poisson(0.1 + 2 * people.dropout)
    who = np.repeat(np.arange(people.size), number)
    opened = _moments(world, _between(people.joined[who], world.days, rng), rng)
    return pl.DataFrame(
        {
            "ticket_id": ids(f"{prefix}-T", np.arange(who.size)),
            "customer_id": people.ids().gather(who),
            "opened_at": opened,
            "topic": np.array(["delivery", "damage", "invoice"])[rng.integers(0, 3, who.size)],
        }
    )


def subscriptions(world: World, people: People, state: State, prefix: str, rng: np.random.Generator) -> pl.DataFrame:
    """Every fourth customer has a plan, cancelled on the day they left; each day one of UPGRADES basic plans, more of those who
    use much of it, ends for a better one that begins on the same day."""
    who = np.flatnonzero(rng.random(people.size) < 0.25)
    better = people.spending[who] > 1.2
    use = np.minimum(20 * people.purchase_rate[who], 1)
    until = np.where(state.died[who] == NEVER, world.days, state.died[who])
    wait = rng.exponential(UPGRADES / (0.2 + 2 * use)).astype(np.int64)
    moved = np.flatnonzero(~better & (people.joined[who] + 1 + wait < until))
    day = people.joined[who][moved] + 1 + wait[moved]
    ended = state.died[who].copy()
    ended[moved] = day
    rows = [
        (who, better, people.joined[who], ended, use),
        (who[moved], np.ones(moved.size, bool), day, state.died[who][moved], use[moved]),
    ]
    owner, is_better, began, gone, used = (np.concatenate(part) for part in zip(*rows, strict=True))
    quota = np.where(is_better, 100.0, 20.0)
    return pl.DataFrame(
        {
            "subscription_id": ids(f"{prefix}-S", np.arange(owner.size)),
            "customer_id": people.ids().gather(owner),
            "plan": np.array(list(PLANS))[is_better.astype(np.int64)],
            "started_at": _moments(world, began, rng),
            "cancelled_at": _moments(world, gone, rng),
            "quota": quota,
            "used": np.round(quota * used, 1),
        }
    ).with_columns(pl.when(pl.Series(gone) != NEVER).then("cancelled_at"))


def payment_events(world: World, held: pl.DataFrame, prefix: str, rng: np.random.Generator) -> pl.DataFrame:
    """A payment every 30 days of each subscription; one in thirty fails or is late."""
    last = pl.lit(_midnight(world, world.days)).dt.replace_time_zone("UTC")
    months = held.select(
        "customer_id",
        pl.datetime_ranges("started_at", pl.coalesce("cancelled_at", last), "30d", closed="left").alias("occurred_at"),
    ).explode("occurred_at", empty_as_null=False)
    return months.with_columns(
        pl.Series(
            "status", np.array(["paid", "failed", "late"])[rng.choice(3, months.height, p=[0.967, 0.018, 0.015])]
        ),
        ids(f"{prefix}-P", np.arange(months.height)).alias("payment_id"),
    )


def web_events(world: World, people: People, state: State, prefix: str, rng: np.random.Generator) -> pl.DataFrame:
    """Visits of the last VISIT_DAYS: of customers, by taste and rate of buying, and half as many of visitors nobody knows,
    whose chance to put something into the cart is their own; some of the visits with a cart end with a purchase."""
    rate = np.where(state.alive & (people.joined < world.days), people.purchase_rate, 0) * 2 * VISIT_DAYS
    who = np.repeat(np.arange(people.size), rng.poisson(rate))
    unknown = who.size // 2
    visitor = np.concatenate([who, rng.integers(0, max(people.size, 1), unknown)])
    is_known = np.arange(visitor.size) < who.size
    size = 1 + rng.poisson(3.0, visitor.size)
    session = np.repeat(np.arange(visitor.size), size)
    taste = np.cumsum(people.taste, axis=1)[visitor[session]]
    category = np.minimum((rng.random(session.size)[:, None] > taste).sum(axis=1), len(CATEGORIES) - 1)
    product = category * PER_CATEGORY + rng.integers(0, PER_CATEGORY, session.size)
    step = np.arange(session.size) - np.repeat(np.cumsum(size) - size, size)
    keen = rng.beta(1, 6, visitor.size)[session]
    carted = rng.random(session.size) < keen
    buys = (np.bincount(session, weights=carted) > 0) & (rng.random(visitor.size) < BUY)
    is_last = np.append(session[1:] != session[:-1], True) if session.size else np.zeros(0, bool)
    kind = np.where(is_last & buys[session], "purchase", np.where(carted, "add_to_cart", "view"))
    start = _moments(world, world.days - 1 - rng.integers(0, VISIT_DAYS, visitor.size), rng)
    return pl.DataFrame(
        {
            "event_id": ids(f"{prefix}-E", np.arange(session.size)),
            "customer_id": people.ids().gather(pl.Series(np.where(is_known, visitor, -1)[session]).replace(-1, None)),
            "anonymous_id": ids(f"{prefix}-A", visitor).set(pl.Series(is_known), None).gather(session),
            "session_id": ids(f"{prefix}-V", session),
            "event_type": kind,
            "product_id": product_ids(world).gather(product),
            "category": np.asarray(CATEGORIES)[category],
            "occurred_at": start.gather(session) + pl.Series(step * 40_000_000).cast(pl.Duration("us")),
            "device": np.array(["phone", "desktop"])[(people.group[visitor] < 2).astype(np.int64)[session]],
        }
    )


def consents(world: World, people: People, rng: np.random.Generator) -> pl.DataFrame:
    """Consent to the channels that need it on record, given on the day of joining. Who leaves a channel does so by a message:
    see engagement."""
    channel = np.array([CHANNELS.index("sms"), CHANNELS.index("whatsapp")])
    who, nth = np.nonzero(people.consents[:, channel])
    return pl.DataFrame(
        {
            "customer_id": people.ids().gather(who),
            "channel": np.asarray(CHANNELS)[channel[nth]],
            "granted": np.ones(who.size, bool),
            "occurred_at": _moments(world, people.joined[who], rng),
            "source": np.full(who.size, "account"),
        }
    )


def suppressions(world: World, people: People, rng: np.random.Generator) -> pl.DataFrame:
    """Those who asked the shop not to write to them any more."""
    who = np.flatnonzero(rng.random(people.size) < SUPPRESSED)
    return pl.DataFrame(
        {
            "customer_id": people.ids().gather(who),
            "channel": np.full(who.size, "all"),
            "reason": np.full(who.size, "asked"),
            "since": _moments(world, _between(people.joined[who], world.days, rng), rng),
        }
    )


def erasure_requests(world: World, people: People, rng: np.random.Generator) -> pl.DataFrame:
    """Those who asked to be forgotten."""
    who = np.flatnonzero(rng.random(people.size) < FORGOTTEN)
    asked = _moments(world, _between(people.joined[who], world.days, rng), rng)
    return pl.DataFrame({"customer_id": people.ids().gather(who), "requested_at": asked})


def identities(people: People, prefix: str, rng: np.random.Generator) -> pl.DataFrame:
    """Customers one of whose unknown visitors (see web_events) is found out to be they: on a second device."""
    who = np.flatnonzero(rng.random(people.size) < SECOND_DEVICE)
    return pl.DataFrame({"customer_id": people.ids().gather(who), "anonymous_id": ids(f"{prefix}-A", who)})


def costs(world: World, days: range) -> pl.DataFrame:
    """Daily cost of marketing and of the warehouse."""
    day = np.array(days)
    season = np.array([world.season(int(d)) for d in day])
    amounts = {
        "marketing": MARKETING_PER_CUSTOMER * world.customers * season,
        "warehouse": 50 + 0.002 * world.customers + 0 * season,
    }
    return pl.concat(
        pl.DataFrame(
            {"date": [world.date(int(d)) for d in day], "cost": np.round(cost, 2), "cost_type": np.full(day.size, name)}
        )
        for name, cost in amounts.items()
    )


def price_history(world: World, days: range) -> pl.DataFrame:
    """Every product's price and stock on every day."""
    prices = np.stack([world.prices(day // 7) for day in days])
    stock = np.stack([world.stock(day // 7) for day in days])
    day, product = np.divmod(np.arange(prices.size), world.n_products)
    promoted = prices.ravel() < world.list_price[product]
    return pl.DataFrame(
        {
            "product_id": product_ids(world).gather(product),
            "date": pl.Series(np.array(world.date(days.start), "datetime64[D]") + day),
            "price": prices.ravel(),
            "inventory_level": stock.ravel(),
            "promotion": pl.Series(["weekly"]).gather(pl.Series(np.where(promoted, 0, -1)).replace(-1, None)),
        }
    )


def _between(first: np.ndarray, last: int, rng: np.random.Generator) -> np.ndarray:
    return np.minimum(first + (rng.random(first.size) * (last - first)).astype(np.int64), last - 1)


def _midnight(world: World, day: int) -> dt.datetime:
    return dt.datetime.combine(world.date(day), dt.time())


def _moments(world: World, day: np.ndarray, rng: np.random.Generator) -> pl.Series:
    """A moment between nine and nine of each day, in UTC."""
    second = rng.integers(9 * 3600, 21 * 3600, day.size)
    at = np.datetime64(world.start, "us") + (day * 86_400 + second) * np.timedelta64(1, "s")
    return pl.Series(at.astype("datetime64[us]")).dt.replace_time_zone("UTC")
