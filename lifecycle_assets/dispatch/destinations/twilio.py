"""Twilio: scheduled text messages, one per request.

Version 1, for POST https://api.twilio.com/2010-04-01/Accounts/<AccountSid>/Messages.json (Twilio docs, Messages resource;
Message Scheduling; error 90007): the fields of a line are the form's fields. Body has 1 600 characters at most; SendAt lies
15 minutes to 35 days after the request, and needs ScheduleType and MessagingServiceSid; ValidityPeriod, the seconds that a
message may wait in Twilio's queue, is 36 000 at most.

The API has no field for an idempotency key. It is message_id in the query of StatusCallback, if one is configured, so that
every report names it; requests.csv names it in any case.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.dispatch.destinations.bodies import Files, one_each, stamp, unix
from lifecycle_assets.dispatch.destinations.fitness import is_e164, unfit
from lifecycle_assets.settings import Twilio

NAME = "twilio"
VERSION = 1
WINDOW = (dt.timedelta(minutes=15), dt.timedelta(days=35))
CHARACTERS = 1_600
QUEUE_SECONDS = 36_000


def rejected(messages: pl.DataFrame) -> pl.DataFrame:
    """customer_id, reason of the messages that Twilio would refuse."""
    return unfit(messages, unfit_address=is_e164, too_long=pl.col("body_text").str.len_chars() <= CHARACTERS)


def files(messages: pl.DataFrame, settings: Twilio) -> Files:
    """The requests of text messages, as forms."""
    body = {
        "To": pl.col("address"),
        "MessagingServiceSid": pl.lit(settings.messaging_service_sid),
        "Body": pl.col("body_text"),
        "ScheduleType": pl.lit("fixed"),
        "SendAt": stamp("send_at"),
        "ValidityPeriod": (unix("expires_at") - unix("send_at")).clip(1, QUEUE_SECONDS),
    }
    if callback := settings.status_callback:
        body["StatusCallback"] = pl.concat_str(
            pl.lit(f"{callback}{'&' if '?' in callback else '?'}message_id="), "idempotency_key"
        )
    return one_each(messages, body)
