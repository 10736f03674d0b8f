"""How likely is each customer to open, click or buy within 7 days of a message?

One classifier for each outcome, and one for any of them: a row is a message sent in the last LEARN_DAYS to a customer who had
ordered before, with what was known of them at the moment of sending (propensity_messages.py), what it was (channel, content,
discount, local hour and weekday) and the campaign, where it has an effect of its own; the label says whether it happened in the
RESPOND_DAYS after. A message counts for an outcome only where its channel tells of it. The messages' time is cut into
`scores.snapshots` periods, the last of which is the test; messages whose answer could fall into it are not learnt from. The
rule to beat knows how often the customer did it before, and how long ago.

A campaign has an effect of its own with CAMPAIGN_MESSAGES messages or more, sent over more than RESPOND_DAYS: then answers come
in while it still runs. The effect of a mailing sent in one go is known when it is of no more use, and learning it would make
the cross-validation, which meets the same mailing again, look better than the next mailing will.

Tonight each customer is scored for every such campaign sent within RUNNING_DAYS, as its usual message, and for `global`: the
usual message of the shop, of no such campaign, for those yet to come. The table is made in blocks of customers as it is
written; reasons stand at tiers of High or better and at `respond` to `global`. Without messages it is empty.
"""

import datetime as dt
from collections.abc import Iterator, Mapping

import dataframely as dy
import polars as pl

from lifecycle_assets.blocks import one_after_another
from lifecycle_assets.contracts import key, table
from lifecycle_assets.days import end_of
from lifecycle_assets.features.per_customer import KEY, PerCustomer
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.classifier import TrainingSet
from lifecycle_assets.models.classifier_drivers import Words
from lifecycle_assets.models.classifier_evaluation import EvaluationColumns
from lifecycle_assets.models.propensity import (
    HIGH,
    LOW,
    MEDIUM,
    VERY_HIGH,
    VERY_LOW,
    PropensityColumns,
    drawn,
    interpreted,
    scored,
)
from lifecycle_assets.models.propensity_messages import (
    BUY,
    CLICK,
    DEEDS,
    NUMBERS,
    OPEN,
    RESPOND_DAYS,
    known_at,
    messages,
)
from lifecycle_assets.settings import Scores

RESPOND = "respond"
OUTCOMES = [RESPOND, *DEEDS]
GLOBAL = "global"
LEARN_DAYS = 364
RUNNING_DAYS = 30
CAMPAIGN_MESSAGES = 200
BLOCK_ROWS = 400_000
SENT = ("discount_pct", "hour")
CATEGORIES = ("channel", "content_type", "weekday", "campaign")
FACTS = [*SENT, *CATEGORIES]
# Features that are days since an event.
AGES = ("days_since_message", "days_since_open", "days_since_click", "days_since_buy", "days_since_order")
BASELINES = {
    RESPOND: ("buy_rate", "click_rate"),
    OPEN: ("open_rate", "days_since_open"),
    CLICK: ("click_rate", "days_since_click"),
    BUY: ("buy_rate", "days_since_buy"),
}
SAID = {
    RESPOND: "opens, clicks or buys",
    OPEN: "opens",
    CLICK: "clicks",
    BUY: "buys",
}
WORDS = {
    "messages": Words("{} messages so far", "messages not known"),
    "messages_30d": Words("{} messages in 30 days", "messages not known"),
    "days_since_message": Words("last message {} days ago", "no message yet"),
    "open_rate": Words("opened {} of the messages", "no message yet that tells of opens"),
    "click_rate": Words("clicked {} of the messages", "no message yet that tells of clicks"),
    "buy_rate": Words("bought after {} of the messages", "no message yet"),
    "days_since_open": Words("last opened one {} days ago", "never opened one"),
    "days_since_click": Words("last clicked one {} days ago", "never clicked one"),
    "days_since_buy": Words("last bought after one {} days ago", "never bought after one"),
    "orders": Words("{} orders", "orders not known"),
    "orders_30d": Words("{} orders in 30 days", "orders not known"),
    "orders_90d": Words("{} orders in 90 days", "orders not known"),
    "days_since_order": Words("last order {} days ago", "last order not known"),
    "days_since_first_order": Words("customer for {} days", "first order not known"),
    "spend_90d": Words("{} spent in 90 days", "spend not known"),
    "avg_order": Words("{} an order", "value of orders not known"),
    "discount_pct": Words("discount of {} %", "no discount"),
    "hour": Words("sent at {} o'clock", "hour not known"),
    "channel": Words("sent by {}", "channel not known"),
    "content_type": Words("content {}", "content not known"),
    "weekday": Words("sent on a {}", "weekday not known"),
    "campaign": Words("campaign {}", "no campaign of its own effect"),
}
ADVICE = {
    VERY_HIGH: "send it first; no discount is needed to be heard",
    HIGH: "send it",
    MEDIUM: "send it where the message is worth more than it costs",
    LOW: "seldom worth a message; try another channel or content",
    VERY_LOW: "save the message for something that matters more",
}


class _OfMessage(PerCustomer):
    campaign_id = key("The campaign, or `global`: a message of the shop's usual kind, of a campaign yet to come.")
    outcome = dy.String(
        primary_key=True,
        check=lambda column: column.is_in(OUTCOMES),
        description=f"What happens within {RESPOND_DAYS} days of sending. One of: {', '.join(OUTCOMES)}; respond is any of "
        "the others. Opens and clicks are people's, and of channels that tell of them.",
    )


@table("models.propensity_respond", needs=("raw.engagement",))
class PropensityRespond(_OfMessage, PropensityColumns):
    """How likely each customer is to open, click or buy within 7 days of a message of each running campaign, and of a message
    of the shop's usual kind. top_factors stand at tiers of High or better and at `respond` to `global`."""


@table("models.propensity_respond_evaluation", history=True, needs=("raw.engagement",))
class PropensityRespondEvaluation(EvaluationColumns):
    """How well answers to messages within 7 days were foretold; target is the outcome."""


def sent_messages(engagement: pl.LazyFrame, order_lines: pl.LazyFrame, as_of: dt.date, timezone: str) -> pl.LazyFrame:
    """The shop's `messages` up to `as_of` with FACTS and `respond`; raw.engagement and raw.order_lines are of profiles."""
    local = pl.col("sent_at").dt.convert_time_zone(timezone)
    span = (pl.col("sent_at").max() - pl.col("sent_at").min()).over("campaign_id")
    is_own = (
        (pl.len().over("campaign_id") >= CAMPAIGN_MESSAGES)
        & (span > dt.timedelta(days=RESPOND_DAYS))
        & (pl.col("campaign_id") != GLOBAL)
    )
    return messages(engagement, order_lines, end_of(as_of, timezone)).with_columns(
        hour=local.dt.hour().cast(pl.Float64),
        weekday=local.dt.strftime("%A"),
        day=local.dt.date(),
        campaign=pl.when(is_own).then("campaign_id"),
    )


def training_rows(
    sent: pl.LazyFrame, order_lines: pl.LazyFrame, as_of: dt.date, shop: str, settings: Scores, seed: int
) -> pl.DataFrame:
    """A row for each of the `sent_messages` whose RESPOND_DAYS have passed by `as_of`, of at most about `training_rows` drawn
    by customer: snapshot (the last day of its period), group, day, NUMBERS, FACTS and each of OUTCOMES (null where the channel
    does not tell of it)."""
    last = as_of - dt.timedelta(days=RESPOND_DAYS)
    learnt = sent.filter(pl.col("day").is_between(last - dt.timedelta(days=LEARN_DAYS - 1), last)).collect()
    customers = learnt["customer_id"].unique()
    most = customers.len() * settings.training_rows // max(learnt.height, 1)
    some = drawn(customers, most, shop, PropensityRespond.name, seed)
    these = (customers if some is None else some).alias("customer_id").to_frame().lazy()
    learnt = learnt.lazy().join(these, on="customer_id", how="semi")
    known = known_at(
        learnt.select("customer_id", moment="sent_at"),
        sent.join(these, on="customer_id", how="semi"),
        order_lines.join(these, on="customer_id", how="semi"),
    )
    rows = learnt.join(known, left_on=["customer_id", "sent_at"], right_on=["customer_id", "moment"])
    happened = [pl.when(f"{deed}_told").then(pl.col(f"{deed}_at").is_not_null()).alias(deed) for deed in DEEDS]
    return (
        _in_periods(rows, last, settings.snapshots)
        .with_columns(happened)
        .with_columns(pl.any_horizontal(pl.col(DEEDS).fill_null(value=False)).alias(RESPOND))
        .select("snapshot", "day", *OUTCOMES, *NUMBERS, *FACTS, group="customer_id")
        .collect()
    )


def training_set(rows: pl.DataFrame, outcome: str) -> TrainingSet:
    """The `training_rows` whose channel tells of the outcome."""
    told = rows.filter(pl.col(outcome).is_not_null()).with_columns(label=outcome)
    positive = f"{SAID[outcome]} within {RESPOND_DAYS} days"
    return TrainingSet(told, (*NUMBERS, *SENT), CATEGORIES, BASELINES[outcome], positive)


def propensity_respond(
    sent: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
    champions: Mapping[str, Champion],
    as_of: dt.date,
    timezone: str,
    settings: Scores,
) -> pl.LazyFrame:
    """A row for each customer of features.customer_orders, running campaign or `global`, and outcome that its channel tells of,
    ordered by these; `sent` are `sent_messages`, `champions` the model of each outcome."""
    kinds = {outcome: _kinds(sent, outcome, as_of) for outcome in OUTCOMES}
    kinds = {outcome: found for outcome, found in kinds.items() if found.height}
    customers = customer_orders.sort("customer_id").select(KEY).collect()
    if customers.is_empty() or not kinds:
        return PropensityRespond.empty().lazy()
    moments = customers.lazy().select("customer_id", moment=pl.lit(end_of(as_of, timezone)))
    known = known_at(moments, sent, order_lines).drop("moment").collect(engine="streaming")
    customers = customers.join(known, on="customer_id", how="left", maintain_order="left")
    per_block = max(1, BLOCK_ROWS // sum(found.height for found in kinds.values()))

    def rows_of(outcome: str) -> Iterator[pl.DataFrame]:
        def features(some: pl.DataFrame) -> pl.DataFrame:
            return some.join(kinds[outcome], how="cross", maintain_order="left_right")

        champion = champions[outcome]
        is_explained = (kinds[outcome]["campaign_id"] == GLOBAL).to_numpy() & (outcome == RESPOND)
        for rows in scored(customers, features, champion, settings, WORDS, lambda _: is_explained, per_block):
            yield rows.with_columns(
                outcome=pl.lit(outcome), interpretation=interpreted(_event(outcome), ADVICE, champion)
            ).select(list(PropensityRespond.columns))

    def blocks() -> Iterator[pl.DataFrame]:
        for parts in zip(*(rows_of(outcome) for outcome in kinds), strict=True):
            yield pl.concat(parts).sort("customer_id", "campaign_id", "outcome")

    return one_after_another(blocks, PropensityRespond.polars_schema)


def _in_periods(rows: pl.LazyFrame, last: dt.date, n_periods: int) -> pl.LazyFrame:
    """The rows with `snapshot`, without those whose answer could fall into the last period."""
    first = rows.select(pl.col("day").min()).collect().item() or last
    period = max(RESPOND_DAYS, -(-((last - first).days + 1) // n_periods))
    test_from = last - dt.timedelta(days=period - 1)
    reaches_test = pl.col("day").is_between(test_from - dt.timedelta(days=RESPOND_DAYS), test_from, closed="left")
    back = (pl.lit(last) - pl.col("day")).dt.total_days() // period
    return rows.filter(~reaches_test).with_columns(snapshot=pl.lit(last) - pl.duration(days=back * period))


def _kinds(sent: pl.LazyFrame, outcome: str, as_of: dt.date) -> pl.DataFrame:
    """campaign_id and FACTS of the most frequent message of `global` and of each running campaign, among messages that tell of
    the outcome."""
    told = sent if outcome == RESPOND else sent.filter(f"{outcome}_told")
    recent = told.filter(pl.col("day") > as_of - dt.timedelta(days=LEARN_DAYS))
    running = recent.filter(
        pl.col("campaign").is_not_null()
        & (pl.col("day").max().over("campaign") > as_of - dt.timedelta(days=RUNNING_DAYS))
    )
    of_all = recent.with_columns(campaign=pl.lit(None, pl.String), campaign_id=pl.lit(GLOBAL))
    return (
        pl.concat([of_all, running])
        .group_by("campaign_id", *FACTS)
        .agg(pl.len())
        .sort("campaign_id", "len", *FACTS, descending=[False, True, *(False for _ in FACTS)])
        .group_by("campaign_id", maintain_order=True)
        .first()
        .drop("len")
        .collect()
    )


def _event(outcome: str) -> pl.Expr:
    message = (
        pl.when(pl.col("campaign_id") == GLOBAL)
        .then(pl.lit("a usual message"))
        .otherwise(pl.format("a message of campaign {}", "campaign_id"))
    )
    deed = f"{SAID[outcome]} within {RESPOND_DAYS} days of {{}}"
    return pl.format(deed, message)
