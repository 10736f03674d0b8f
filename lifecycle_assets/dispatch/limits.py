"""Whose message goes out where an offer, the shop or an hour has room for some only, and when.

Of an offer with a cap the customers of the best score get it; the others choose again without it, and are held where nothing
else can be sent. Then every message gets its hour (schedule); those without room are held, the worst first.

A limit makes what goes out depend on what others drew, so that pi is no longer the probability of a message. Decisions are
marked `limited`, and left out of comparisons of policies, where that could be: the offer that was used up was among the arms;
or one of the arms has no better score than a message that found no room.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from lifecycle_assets.dispatch.choice import Tonight, chosen
from lifecycle_assets.dispatch.eligibility import earliest
from lifecycle_assets.dispatch.schedule import schedule
from lifecycle_assets.settings import Shop

_PLACE = ["timezone", "country", "region"]
_HOURS = ["best_hour", "best_lift", "second_hour", "third_hour"]


def within_caps(tonight: Tonight, gone: pl.DataFrame, used: Mapping[str, int]) -> pl.DataFrame:
    """Every customer's choice (see choice.chosen), no offer beyond its cap. `used` counts each offer's messages of earlier
    nights, `gone` are tonight's decisions whose messages are out already.

    Adds `held`, the reason why what was chosen is not sent, else null, and `limited`."""
    choices = chosen(tonight).with_columns(held=pl.lit(None, dtype=pl.String), limited=pl.lit(value=False))
    used_up: set[str] = set()
    # Every round uses up an offer that was left in the one before, so there are no more rounds than offers with a cap.
    while True:
        over = {
            name: left_out
            for name, offer in tonight.routing.offers.items()
            if offer.cap is not None
            and (left_out := _beyond(choices, gone, name, _arms_of(tonight, name), offer.cap - used.get(name, 0))).len()
        }
        if not over:
            return choices
        used_up |= over.keys()
        left_out = choices["customer_id"].is_in(pl.concat(over.values()).implode())
        again = chosen(tonight.of(left_out.arg_true().to_numpy()), used_up).filter("sent")
        again = again.with_columns(held=pl.lit(None, dtype=pl.String), limited=pl.lit(value=True))
        touched = pl.any_horizontal(
            pl.col("arms").arr.contains(arm) for name in over for arm in _arms_of(tonight, name)
        )
        held = choices.with_columns(
            sent=pl.col("sent") & ~left_out,
            held=pl.when(left_out).then(pl.lit("offer_used_up")).otherwise("held"),
            limited=pl.col("limited") | touched | left_out,
        )
        choices = pl.concat([held.join(again, on="customer_id", how="anti"), again]).sort("customer_id")


def scheduled(
    choices: pl.DataFrame, tonight: Tonight, send_times: pl.LazyFrame, shop: Shop, gone: pl.DataFrame
) -> pl.DataFrame:
    """Adds send_at, send_at_local and `moved` (see schedule.schedule), and holds what finds no room. `send_times` are
    models.send_time_posteriors."""
    sends = choices.filter("sent").join(gone, on="customer_id", how="anti")
    channels = pl.Series("channel", [arm.lane.channel_name for arm in tonight.arms], dtype=pl.String)
    sends = (
        sends.select("customer_id", "arm", "score", "expected_value", channels.gather(sends["arm"]))
        .join(tonight.profiles, on="customer_id", how="left")
        .select("customer_id", "channel", "score", "expected_value", *_PLACE, earliest=_earliest(tonight))
        .join(send_times.select("customer_id", "channel", *_HOURS).collect(), on=["customer_id", "channel"], how="left")
    )
    times = schedule(sends, shop, tonight.as_of, gone.select("channel", "send_at"))
    choices = choices.join(times, on="customer_id", how="left").sort("customer_id")
    throttled = choices["throttled"].fill_null(value=False)
    scores = choices["scores"].to_numpy()
    least = np.where(scores > 0, scores, np.inf).min(axis=1) if throttled.any() else np.full(choices.height, np.inf)
    cut = choices["score"].filter(throttled).max()
    return choices.with_columns(
        sent=pl.col("sent") & ~throttled,
        held=pl.when(throttled).then(pl.lit("throttled")).otherwise("held"),
        limited=pl.col("limited") | pl.Series(least <= (-1.0 if cut is None else cut)),
    )


def over_limit(sends: pl.DataFrame, limit: int) -> pl.Series:
    """The customer_ids that a limit of messages leaves out: the best by score, then expected value, then id stay in."""
    order = sends.sort("score", "expected_value", "customer_id", descending=[True, True, False])
    return order.get_column("customer_id").slice(max(limit, 0))


def _arms_of(tonight: Tonight, offer: str) -> list[int]:
    return [position for position, arm in enumerate(tonight.arms) if arm.offer_name == offer]


def _beyond(choices: pl.DataFrame, gone: pl.DataFrame, offer: str, arms: Sequence[int], limit: int) -> pl.Series:
    """customer_id of the sends that an offer's cap leaves out, where `gone` count against it already."""
    sends = choices.filter(pl.col("sent") & pl.col("arm").is_in(arms)).join(gone, on="customer_id", how="anti")
    return over_limit(sends, limit - gone.filter(pl.col("offer_id") == offer).height)


def _earliest(tonight: Tonight) -> pl.Expr:
    """The moment (UTC) before which the arm's programme must not speak."""
    waits = [
        pl.when(pl.col("arm") == position).then(earliest(arm.lane))
        for position, arm in enumerate(tonight.arms)
        if arm.lane.programme.trigger
    ]
    return pl.coalesce(*waits, pl.lit(None, dtype=pl.Datetime("us", "UTC")))
