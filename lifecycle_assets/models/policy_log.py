"""What did each logged decision earn, and what would each ranking profile have made of it?

Told are decisions to send whose trace names two or more arms with their probabilities under every profile, whose message went
out, and whose night was long enough ago: all messages had left (SENT_WITHIN) and their time to be answered was over. Left out
are those that a limit had cut short (the trace says so; their probabilities are not those of the night), nights of whose
messages the shop tells nothing, and decisions with an arm on a channel of which the shop never tells anything: whether its
messages earn cannot be seen, and leaving out only those that chose it would favour the other channels. Beyond
`PER_NIGHT` decisions of one night a sample counts, drawn by their ids, which are hashes.

Reward = margin of the orders ascribed to the message within `response_days` - cost of the message - cost of an unsubscribe.
Ascribed are order lines that name the message; where there are none, and the message converted, its revenue; where that is
unknown, the customer's average order. Costs of goods are the lines' own; where unknown, the customer's margin rate (else the
shop's) of the price before discount, where a discount that the lines do not show counts as used. An order that would have come
without the message counts fully: the reward is what the shop ascribes, not what the message caused.

Each night's slice holds what settled since the slices before. Without decisions that explored the table is empty.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, date, flag, key, number, shop_key, table, text
from lifecycle_assets.settings import Shop

# A message leaves on the day after its decision's, or after quiet hours on the one after that.
SENT_WITHIN = 2
PER_NIGHT = 10_000
# A larger discount that the lines do not show would say that next to nothing was earned on any price.
LARGEST_DISCOUNT = 0.95
NO_CHANCE = 1e-9


@table("models.policy_log", history=True, needs=("raw.engagement",))
class PolicyLog(dy.Schema):
    """Decisions whose outcome settled since the night before, once per ranking profile: what was earned, and how the profile
    would have decided. The slices of all nights together are what policies are evaluated on."""

    shop_id = shop_key()
    as_of = as_of_column()
    decision_id = key("The decision.")
    policy = key("The ranking profile.")
    customer_id = text("The customer, as resolved when the outcome had settled.", nullable=False)
    message_id = text("The message that carried the decision out.", nullable=False)
    decided_on = date("The night of the decision.")
    reward = number(
        "Margin of the orders ascribed to the message less its cost and that of an unsubscribe.", "currency"
    )
    expected_taken = number("What was expected of the arm that was taken.", "currency")
    expected = number("What was expected of the profile's arms, on average over its probabilities.", "currency")
    weight = number("Probability of the arm taken under the profile over the logged one.", "ratio", minimum=0)
    is_supported = flag("Every arm that the profile might have taken had a chance.")


@dataclass(frozen=True)
class Nights:
    """What the nights in question left: rows of dispatch.decisions and dispatch.messages, and dispatch.ledger."""

    decisions: pl.LazyFrame
    messages: pl.LazyFrame
    ledger: pl.LazyFrame


@dataclass(frozen=True)
class Outcomes:
    """raw.engagement, raw.order_lines, and features.customer_features for what an order of the customer is worth."""

    engagement: pl.LazyFrame
    order_lines: pl.LazyFrame
    customer_features: pl.LazyFrame


def settled_until(as_of: dt.date, shop: Shop) -> dt.date:
    """The latest night whose decisions are settled at the end of `as_of`."""
    return as_of - dt.timedelta(days=SENT_WITHIN + shop.routing.posteriors.response_days)


def policy_log(nights: Nights, outcomes: Outcomes, *, shop_id: str, as_of: dt.date, shop: Shop) -> pl.DataFrame:
    """One row of `PolicyLog` per decision of the `nights` that can be told of and profile that it names, sorted by them.

    `nights` are the settled ones that no earlier slice tells of; their customers are profiles.
    """
    sent = _sent(nights)
    told = _told(outcomes)
    nights_told = sent.join(told, on="message_id", how="semi").select("decided_on").unique()
    drawn = (
        sent.join(nights_told, on="decided_on", how="semi")
        .filter(pl.col("decision_id").rank("ordinal").over("decided_on") <= PER_NIGHT)
        .collect()
    )
    if drawn.is_empty():
        return PolicyLog.empty()
    policies = list(shop.routing.rankings)
    traces = nights.decisions.select("decision_id", "trace").join(drawn.lazy(), on="decision_id", how="semi")
    arms = _arms(traces.collect(), policies, _channels_told(outcomes, sent))
    # Sums over the arms of a decision are to be the same to the last bit: the arms stay in the order of the trace.
    arms = arms.join(drawn.select("decision_id", taken="arm"), on="decision_id", maintain_order="left")
    weighed = _weighed(arms, policies)
    rewards = _rewards(drawn, outcomes, shop)
    rows = (
        weighed.join(drawn, on="decision_id")
        .join(rewards, on="message_id")
        .with_columns(shop_id=pl.lit(shop_id), as_of=pl.lit(as_of))
        .lazy()
    )
    return PolicyLog.conform(rows).sort("decision_id", "policy").collect()


def whole(slices: pl.LazyFrame, ledger: pl.LazyFrame) -> pl.LazyFrame:
    """The log of all nights, from its slices one after the other: each night's decisions as they were told first, without
    messages that the ledger says were undone."""
    undone = ledger.filter(pl.col("event") == "compensated").select(message_id="idempotency_key").unique()
    first = slices.group_by("decided_on").agg(pl.col("as_of").min())
    return slices.join(first, on=["decided_on", "as_of"], how="semi").join(undone, on="message_id", how="anti")


def _sent(nights: Nights) -> pl.LazyFrame:
    """The decisions whose messages went out, with message_id and the name of the arm."""
    exported = nights.ledger.filter(pl.col("event") == "exported").select(message_id="idempotency_key")
    messages = nights.messages.select("decision_id", message_id="idempotency_key").join(
        exported, on="message_id", how="semi"
    )
    return (
        nights.decisions.filter(pl.col("action") == "send")
        .select(
            "decision_id",
            "customer_id",
            "channel",
            "send_at",
            "discount_pct",
            decided_on="as_of",
            arm=pl.concat_str("programme", "step", "channel", "offer_id", separator="/"),
        )
        .join(messages, on="decision_id")
    )


def _told(outcomes: Outcomes) -> pl.LazyFrame:
    """message_id of the messages that the shop tells anything of."""
    named = outcomes.order_lines.select("message_id").drop_nulls()
    return pl.concat([outcomes.engagement.select("message_id"), named]).unique()


def _channels_told(outcomes: Outcomes, sent: pl.LazyFrame) -> list[str]:
    ordered = sent.join(outcomes.order_lines, on="message_id", how="semi")
    told = pl.concat([outcomes.engagement.select("channel"), ordered.select("channel")])
    return told.unique().sort("channel").collect().get_column("channel").to_list()


def _arms(traces: pl.DataFrame, policies: Sequence[str], channels: Collection[str]) -> pl.DataFrame:
    """decision_id, arm, expected_value, pi and a column per profile (null where the decision does not name it), of the
    decisions that can be told of."""
    arm = pl.Struct(
        {
            "arm": pl.String,
            "expected_value": pl.Float64,
            "pi": pl.Float64,
            "pi_by": pl.Struct(dict.fromkeys(policies, pl.Float64)),
        }
    )
    trace = pl.Struct({"arms": pl.List(arm), "exploration": pl.Struct({"limited": pl.Boolean})})
    decoded = traces.select("decision_id", pl.col("trace").str.json_decode(trace)).unnest("trace")
    chosen = decoded.filter(
        (pl.col("arms").list.len() >= 2) & ~pl.col("exploration").struct.field("limited").fill_null(value=False)
    )
    arms = chosen.select("decision_id", "arms").explode("arms").unnest("arms").unnest("pi_by")
    channel = pl.col("arm").str.split("/").list.get(2, null_on_oob=True)
    known = channel.is_in(list(channels)) & pl.all_horizontal(pl.col("expected_value", "pi").is_not_null())
    return arms.filter(known.all().over("decision_id"))


def _weighed(arms: pl.DataFrame, policies: Sequence[str]) -> pl.DataFrame:
    """decision_id, policy, expected_taken, expected, weight, is_supported; without decisions whose arm is not in the trace.
    A profile that a decision does not name has no row of it."""
    value, pi = pl.col("expected_value"), pl.col("pi")
    is_taken = pl.col("arm") == pl.col("taken")
    parts = []
    for policy in policies:
        own = pl.col(policy)
        parts.append(
            arms.group_by("decision_id")
            .agg(
                expected_taken=value.filter(is_taken).first(),
                expected=(own * value).sum(),
                weight=(own.filter(is_taken) / pi.filter(is_taken)).first(),
                is_supported=own.filter(pi <= NO_CHANCE).sum() <= NO_CHANCE,
                is_named=own.is_not_null().all(),
            )
            .filter(pl.col("is_named") & pl.col("weight").is_finite())
            .with_columns(policy=pl.lit(policy))
        )
    return pl.concat(parts)


def _rewards(sent: pl.DataFrame, outcomes: Outcomes, shop: Shop) -> pl.DataFrame:
    """message_id and reward of each decision sent."""
    routing = shop.routing
    spent, kept = (pl.col(name).cast(pl.Float64) for name in ("purchase_total", "margin_total"))
    own_rate = pl.when(spent > 0).then(kept / spent).clip(0.0, 1.0)
    customers = outcomes.customer_features.select("customer_id", "avg_ticket", margin_rate=own_rate)
    told = outcomes.engagement.select("message_id", "sent_at", "converted_at", "unsubscribed_at", "revenue")
    messages = (
        sent.lazy()
        .join(customers, on="customer_id", how="left")
        .join(told, on="message_id", how="left")
        .with_columns(
            pl.col("margin_rate").fill_null(routing.margin_rate),
            pl.col("avg_ticket").fill_null(0.0).clip(0.0),
            paid_share=1 - (pl.col("discount_pct") / 100).clip(0.0, LARGEST_DISCOUNT),
            deadline=pl.coalesce("sent_at", "send_at") + dt.timedelta(days=routing.posteriors.response_days),
        )
    )
    rate, paid_share = pl.col("margin_rate"), pl.col("paid_share")

    def in_time(moment: str) -> pl.Expr:
        return (pl.col(moment) <= pl.col("deadline")).fill_null(value=False)

    amount, full_price = pl.col("amount").cast(pl.Float64), pl.col("quantity") * pl.col("unit_price")
    before_discount = pl.when(pl.col("discount_amount") > 0).then(full_price).otherwise(amount / paid_share)
    cost = pl.coalesce(pl.col("unit_cost") * pl.col("quantity"), (1 - rate) * before_discount)
    ordered = (
        outcomes.order_lines.filter(pl.col("status") == "completed")
        .join(messages.select("message_id", "margin_rate", "paid_share", "deadline"), on="message_id")
        .filter(in_time("ordered_at"))
        .group_by("message_id")
        # Decimals add up to the same in every order.
        .agg(margin=(amount - cost).round(4).cast(pl.Decimal(18, 4)).sum().cast(pl.Float64))
    )
    converted = pl.when(in_time("converted_at")).then(
        pl.coalesce("revenue", pl.col("avg_ticket") * paid_share) * (1 - (1 - rate) / paid_share)
    )
    unsubscribe = pl.lit(routing.posteriors.unsubscribe_cost, dtype=pl.Float64)
    costs = {name: channel.cost for name, channel in routing.channels.items()}
    return (
        messages.join(ordered, on="message_id", how="left")
        .select(
            "message_id",
            reward=pl.coalesce("margin", converted, 0.0)
            - pl.col("channel").replace_strict(costs, return_dtype=pl.Float64)
            - pl.when(in_time("unsubscribed_at"))
            .then(pl.coalesce(unsubscribe, pl.col("avg_ticket") * rate))
            .otherwise(0),
        )
        .collect()
    )
