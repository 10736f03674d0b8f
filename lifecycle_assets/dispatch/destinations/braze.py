"""Braze: scheduled triggers of an API-triggered campaign, whose template is `{{api_trigger_properties.${text}}}`.

Version 1, for POST <instance>/campaigns/trigger/schedule/create (Braze docs, Schedule API-triggered campaigns; Recipients
object; Schedule object; Trigger properties object): at most 50 recipients in a request, 50 KB of trigger properties each,
one time of sending per request, in UTC.

Customers are known by external_user_id, which is customer_id; a request sends to users that Braze knows and creates none
(send_to_existing_only). No attribute is set, so nobody is subscribed anew. The idempotency key is the trigger property
message_id.
"""

import polars as pl

from lifecycle_assets.dispatch.destinations.bodies import Files, in_chunks, sizes, stamp
from lifecycle_assets.dispatch.destinations.fitness import unfit
from lifecycle_assets.dispatch.destinations.properties import properties
from lifecycle_assets.settings import Braze

NAME = "braze"
VERSION = 1
RECIPIENTS = 50
PROPERTIES_BYTES = 50_000


def rejected(messages: pl.DataFrame) -> pl.DataFrame:
    """customer_id, reason of the messages that Braze would refuse."""
    return unfit(messages, too_long=pl.lit(sizes(messages, properties())) <= PROPERTIES_BYTES)


def files(messages: pl.DataFrame, settings: Braze) -> Files:
    """The requests of messages of one channel, those of one time together."""
    recipient = pl.struct(
        external_user_id="customer_id", trigger_properties=properties(), send_to_existing_only=pl.lit(value=True)
    )
    body = {
        "campaign_id": pl.lit(settings.campaigns[messages.item(0, "channel")]),
        "recipients": pl.col("items"),
        "schedule": pl.struct(time=stamp("send_at")),
    }
    return in_chunks(messages, recipient, body, size=RECIPIENTS, together=["send_at"])
