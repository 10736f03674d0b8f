"""Firebase Cloud Messaging: push messages to one registration token, one per request.

Version 1, for POST https://fcm.googleapis.com/v1/projects/<project id>/messages:send (Firebase docs, FCM HTTP v1, REST
Resource: projects.messages; About FCM messages; Apple, Sending notification requests to APNs): title, text and data have
4 096 bytes at most.

The API sends at once: a line is posted when the send_at of its message in requests.csv has come; a device that is off gets
it until it expires. The idempotency key is message_id in the data; it is also the notification's tag and collapse id, so
that a message posted twice is shown once.
"""

import polars as pl

from lifecycle_assets.dispatch.destinations.bodies import Files, one_each, record, unix
from lifecycle_assets.dispatch.destinations.fitness import bytes_of, unfit

NAME = "fcm"
VERSION = 1
PAYLOAD_BYTES = 4_096
REGISTRATION = "^[A-Za-z0-9_:-]{100,4096}$"
DATA = {"message_id": "idempotency_key", "programme": "programme", "offer_id": "offer_id", "cta": "cta", "url": "url"}


def rejected(messages: pl.DataFrame) -> pl.DataFrame:
    """customer_id, reason of the messages that FCM would refuse."""
    shown = bytes_of("subject", "body_text", *DATA.values()) + len("".join(DATA))
    return unfit(messages, unfit_address=pl.col("address").str.contains(REGISTRATION), too_long=shown <= PAYLOAD_BYTES)


def files(messages: pl.DataFrame) -> Files:
    """The requests of push messages."""
    key = pl.col("idempotency_key")
    seconds = (unix("expires_at") - unix("send_at")).cast(pl.String)
    headers = {"apns-expiration": unix("expires_at").cast(pl.String), "apns-collapse-id": key}
    message = pl.struct(
        token="address",  # noqa: S106  a column's name
        notification=pl.struct(title="subject", body="body_text"),
        data=record({name: pl.col(column) for name, column in DATA.items()}),
        android=pl.struct(ttl=seconds + "s", notification=pl.struct(tag=key)),
        apns=pl.struct(headers=record(headers)),
        webpush=pl.struct(headers=pl.struct(TTL=seconds), notification=pl.struct(tag=key)),
    )
    return one_each(messages, {"message": message})
