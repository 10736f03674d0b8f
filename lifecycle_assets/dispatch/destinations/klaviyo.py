"""Klaviyo: profiles with the message in their properties, for the flow that sends it.

Version 1, for POST https://a.klaviyo.com/api/profile-bulk-import-jobs, revision 2026-01-15 (Klaviyo developers, Bulk Import
Profiles): at most 10 000 profiles and 5 MB in a request, 100 KB in a profile.

The import creates or updates profiles and may add them to a list. It never says anything of consent or subscription: who
has unsubscribed stays so. Properties begin with `lifecycle_`; the idempotency key is lifecycle_message_id, and the flow is
to wait for lifecycle_send_at. The import cannot clear a property, so each is written anew with every message.
"""

import polars as pl

from lifecycle_assets.dispatch.destinations.bodies import Files, in_chunks, record, sizes
from lifecycle_assets.dispatch.destinations.fitness import is_e164, is_email, unfit
from lifecycle_assets.dispatch.destinations.properties import properties
from lifecycle_assets.settings import Klaviyo

NAME = "klaviyo"
VERSION = 1
PROFILES = 10_000
REQUEST_BYTES = 5_000_000 - 500  # room for what stands around
PROFILE_BYTES = 100_000 - 500
ADDRESS = {"email": "email", "sms": "phone_number"}


def rejected(messages: pl.DataFrame) -> pl.DataFrame:
    """customer_id, reason of the messages that Klaviyo would refuse."""
    fits = pl.when(pl.col("channel") == "email").then(is_email).otherwise(is_e164)
    small = pl.lit(sizes(messages, properties("lifecycle_"))) <= PROFILE_BYTES
    return unfit(messages, unfit_address=fits, too_long=small)


def files(messages: pl.DataFrame, settings: Klaviyo) -> Files:
    """The requests of messages of one channel."""
    address = ADDRESS[messages.item(0, "channel")]
    profile = pl.struct(
        type=pl.lit("profile"),
        attributes=record({address: pl.col("address"), "properties": properties("lifecycle_")}),
    )
    job = {
        "type": pl.lit("profile-bulk-import-job"),
        "attributes": pl.struct(profiles=pl.struct(data="items")),
    }
    if settings.list_id is not None:
        named = pl.struct(type=pl.lit("list"), id=pl.lit(settings.list_id))
        job["relationships"] = pl.struct(lists=pl.struct(data=pl.concat_list(named)))
    return in_chunks(messages, profile, {"data": record(job)}, size=PROFILES, most_bytes=REQUEST_BYTES)
