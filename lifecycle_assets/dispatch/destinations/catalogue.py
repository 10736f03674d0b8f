"""The destinations by name, and what each is asked for: which messages it cannot carry, and the files of the others."""

import datetime as dt
from collections.abc import Mapping
from types import ModuleType

import polars as pl

from lifecycle_assets.dispatch.destinations import braze, fcm, generic, klaviyo, sendgrid, twilio, whatsapp
from lifecycle_assets.dispatch.destinations.bodies import Files
from lifecycle_assets.dispatch.destinations.fitness import in_window, unfit
from lifecycle_assets.dispatch.destinations.normalising import phones
from lifecycle_assets.settings import Destinations, Shop

ADAPTERS: Mapping[str, ModuleType] = {
    adapter.NAME: adapter for adapter in (generic, klaviyo, braze, sendgrid, twilio, whatsapp, fcm)
}
# Why a message cannot be carried, besides the limits of its channel.
UNFIT = ("over_limit", "unfit_address", "too_long", "no_subject", "no_template", "unfit_parameter", "outside_window")


def addressed(messages: pl.DataFrame, standing: pl.LazyFrame, shop: Shop) -> pl.DataFrame:
    """The messages with telephone numbers in E.164 where a destination needs them so; numbers that cannot be read stay.

    `standing` (as contact.standing gives it) says in which country each customer dials; others dial in the shop's."""
    channels = [
        name
        for name, channel in shop.routing.channels.items()
        if channel.destination != "generic" and channel.addressed_by == "phone"
    ]
    dialled = messages.filter(pl.col("channel").is_in(channels)).select("customer_id", "address")
    if dialled.is_empty():
        return messages
    countries = standing.select("customer_id", country="dialling_country").collect()
    placed = dialled.join(countries, on="customer_id", how="left", maintain_order="left")
    numbers = placed.select("customer_id", number=phones(placed.rename({"address": "phone"}), shop.country))
    joined = messages.join(numbers, on="customer_id", how="left", maintain_order="left")
    return joined.with_columns(address=pl.coalesce("number", "address")).drop("number")


def rejected(name: str, messages: pl.DataFrame, at: dt.datetime | None) -> pl.DataFrame:
    """customer_id, reason of the messages that the destination would refuse of a request made at `at` (null: in time)."""
    adapter = ADAPTERS[name]
    unfitting = adapter.rejected(messages)
    window = getattr(adapter, "WINDOW", None)
    if at is None or window is None:
        return unfitting
    late = unfit(messages, outside_window=in_window(at, *window))
    return pl.concat([unfitting, late.join(unfitting, on="customer_id", how="anti")])


def files(name: str, messages: pl.DataFrame, settings: Destinations) -> Files:
    """The destination's files of messages of one channel; adapters with settings of their own are given them."""
    adapter = ADAPTERS[name]
    own = getattr(settings, name, None)
    return adapter.files(messages) if own is None else adapter.files(messages, own)


def set_aside(messages: pl.DataFrame) -> Files:
    """The list of those of `messages` (idempotency_key, reason ...) that are withheld for what they are and not for whom
    they would reach: no address in it, and no file where there are none."""
    told = messages.filter(pl.col("reason").is_in(UNFIT)).select("idempotency_key", "reason").sort("idempotency_key")
    return {} if told.is_empty() else {"set_aside.csv": lambda target: told.write_csv(target, line_terminator="\n")}


def described(name: str) -> dict[str, str | int]:
    """What a manifest says of the destination."""
    adapter = ADAPTERS[name]
    return {"adapter": adapter.NAME, "version": adapter.VERSION}
