"""What a shop would have recorded of the days lived through: the input tables of a block of customers."""

import datetime as dt
from collections.abc import Sequence

import numpy as np
import polars as pl

from lifecycle_assets.hashing import generator
from lifecycle_assets.simulator.baskets import lines
from lifecycle_assets.simulator.day import Day
from lifecycle_assets.simulator.people import People
from lifecycle_assets.simulator.world import CHANNELS, CONTENTS, ZONES, World, ids

Days = Sequence[tuple[int, Day]]
NAMES = ("Alex", "Ana", "Chris", "Dana", "Eva", "Jo", "Kim", "Luz", "Max", "Noa", "Pat", "Sam")
LOCALES = {"US": "en-US", "MX": "es-MX", "ES": "es-ES"}
# Seconds after delivery at which a privacy proxy opens a mail.
PROXY_SECONDS = 1


def customers(world: World, people: People) -> pl.DataFrame:
    """The `customers` table: what the customers told of themselves."""
    rng = generator(world.shop, f"simulator names from {people.number[0]}", world.seed)
    country = _countries(world, people)
    preferred = pl.Series(CHANNELS).gather(pl.Series(people.preferred).replace(-1, None))
    joined = pl.DataFrame({"day": people.joined, "hour": 6, "second": 0, "country": country})
    return pl.DataFrame(
        {
            "customer_id": people.ids(),
            "country": country,
            "timezone": country.replace_strict(ZONES),
            "preferred_channel": preferred,
            "locale": country.replace_strict(LOCALES),
            "first_name": np.asarray(NAMES)[rng.integers(0, len(NAMES), people.size)],
            "birth_date": np.datetime64("1945-01-01") + rng.integers(0, 60 * 365, people.size),
            "created_at": joined.select(_moment(world)).to_series(),
            **{f"consent_{name}": people.consents[:, k] for k, name in enumerate(CHANNELS)},
        }
    ).with_columns(
        pl.format("{}@example.com", pl.col("customer_id").str.to_lowercase()).alias("email"),
        pl.format("+1555{}", pl.col("customer_id").str.slice(-7)).alias("phone"),
    )


def order_lines(world: World, people: People, days: Days, prefix: str, rng: np.random.Generator) -> pl.DataFrame:
    """The `order_lines` table of these days; a return is a line of its own under the same order, at its own time. Ids begin
    with `prefix`."""
    day, buyer, hour, pct = _joined(days, "buyer", "hour", "pct")
    messages = [_message_ids(prefix, number, d).gather(pl.Series(d.message).replace(-1, None)) for number, d in days]
    orders = pl.DataFrame(
        {
            "order": np.arange(buyer.size),
            "customer_id": people.ids().gather(buyer),
            "country": _countries(world, people).gather(buyer),
            "day": day,
            "hour": hour,
            "second": rng.integers(0, 3600, buyer.size),
            "sales_channel": np.where(people.group[buyer] % 2 == 0, "web", "app"),
            "message_id": pl.concat(messages),
        }
    ).with_columns(pl.format("{}-O{}", pl.lit(prefix), "order").alias("order_id"), _moment(world).alias("ordered_at"))
    bought = lines(world, people, day, buyer, pct, rng).join(
        orders.drop("day", "hour", "second"), on="order", maintain_order="left"
    )
    returned = bought.drop_nulls("returned_after").with_columns(
        -pl.col("quantity"),
        pl.lit(0.0).alias("discount_amount"),
        # What was paid for it comes back.
        (pl.col("unit_price") - pl.col("discount_amount") / pl.col("quantity")).round(2).alias("unit_price"),
        (pl.col("ordered_at") + pl.duration(days="returned_after")).alias("ordered_at"),
    )
    last = dt.datetime.combine(world.date(int(day.max(initial=0)) + 1), dt.time(), dt.UTC)
    return pl.concat([bought, returned.filter(pl.col("ordered_at") < last)]).drop("order", "returned_after")


def engagement(world: World, people: People, days: Days, prefix: str, rng: np.random.Generator) -> pl.DataFrame:
    """The `engagement` table: what became of each message. Customers behind a privacy proxy open every mail at once, by
    machine."""
    parts = [(number, d) for number, d in days if d.sends.who.size]
    if not parts:
        return pl.DataFrame()
    ids = pl.concat([_message_ids(prefix, number, d) for number, d in parts])
    day, opened, clicked, converted, left = _joined(parts, "opened", "clicked", "converted", "left")
    who, channel, hour, pct, content, propensity = (
        np.concatenate([getattr(d.sends, name) for _, d in parts])
        for name in ("who", "channel", "hour", "pct", "content", "propensity")
    )
    delay = {
        name: 5 + (rng.exponential(1200, who.size)).astype(np.int64) for name in ("opened", "clicked", "converted")
    }
    proxied = people.private[who] & (channel == CHANNELS.index("email"))
    seen = np.where(proxied, PROXY_SECONDS, delay["opened"])
    frame = pl.DataFrame(
        {
            "message_id": ids,
            "customer_id": people.ids().gather(who),
            "channel": np.asarray(CHANNELS)[channel],
            "content_type": np.asarray(CONTENTS)[content],
            "discount_pct": pct,
            "propensity": propensity,
            "country": _countries(world, people).gather(who),
            "day": day,
            "hour": hour,
            "second": rng.integers(0, 3000, who.size),
            "opened": opened | proxied,
            "clicked": clicked,
            "converted": converted,
            "left": left,
            "opened_after": seen,
            "clicked_after": np.maximum(seen, 5) + delay["clicked"],
            "converted_after": np.maximum(seen, 5) + delay["clicked"] + delay["converted"],
        }
    ).with_columns(_moment(world).alias("sent_at"))
    at = pl.col("sent_at")

    def when(happened: str, after: pl.Expr) -> pl.Expr:
        return pl.when(happened).then(at + pl.duration(seconds=after))

    return frame.select(
        "message_id",
        "customer_id",
        "channel",
        "content_type",
        "discount_pct",
        "propensity",
        "sent_at",
        at.alias("delivered_at"),
        when("opened", pl.col("opened_after")).alias("opened_at"),
        when("clicked", pl.col("clicked_after")).alias("clicked_at"),
        when("converted", pl.col("converted_after")).alias("converted_at"),
        when("left", pl.lit(60)).alias("unsubscribed_at"),
    )


def _message_ids(prefix: str, day: int, happened: Day) -> pl.Series:
    return ids(f"{prefix}-M{day}-", np.arange(happened.sends.who.size))


def _joined(days: Days, *names: str) -> list[np.ndarray]:
    """The day's number of each row, and these parts of all days one after the other; the first sets the rows."""
    numbers = [np.full(getattr(d, names[0]).size, number) for number, d in days]
    return [np.concatenate(numbers), *(np.concatenate([getattr(d, name) for _, d in days]) for name in names)]


def _countries(world: World, people: People) -> pl.Series:
    return pl.Series("country", np.asarray(world.countries)[people.country])


def _moment(world: World) -> pl.Expr:
    """UTC of the local day, hour and second of each row, in the zone of its country."""
    local = pl.lit(world.start).cast(pl.Datetime("us")) + pl.duration(days="day", hours="hour", seconds="second")
    zoned = pl.lit(None, pl.Datetime("us", "UTC"))
    for country in world.countries:
        utc = local.dt.replace_time_zone(ZONES[country], ambiguous="earliest").dt.convert_time_zone("UTC")
        zoned = pl.when(pl.col("country") == country).then(utc).otherwise(zoned)
    return zoned
