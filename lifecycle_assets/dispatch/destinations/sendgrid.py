"""SendGrid: scheduled mails, each with its own subject and text.

Version 1, for POST https://api.sendgrid.com/v3/mail/send (Twilio SendGrid docs, Mail Send; Personalizations; Scheduling
Parameters; Limitations): at most 1 000 personalizations in a request, 10 000 bytes of substitutions in each, and 72 hours
from the request to send_at (seconds since 1970). A time that has passed means at once.

The contents of a request are two tags alone, which the substitutions of a personalization fill in. The idempotency key is
the custom argument message_id, which every event of the mail repeats.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.dispatch.destinations.bodies import Files, in_chunks, record, unix
from lifecycle_assets.dispatch.destinations.fitness import bytes_of, is_email, unfit
from lifecycle_assets.settings import Sendgrid

NAME = "sendgrid"
VERSION = 1
# A night that is run late has mails whose time has passed: SendGrid sends them at once, until they expire.
WINDOW = (-dt.timedelta(days=365), dt.timedelta(hours=72))
PERSONALIZATIONS = 1_000
SUBSTITUTION_BYTES = 10_000
TEXT, HTML = "%lifecycle_text%", "%lifecycle_html%"


def rejected(messages: pl.DataFrame) -> pl.DataFrame:
    """customer_id, reason of the messages that SendGrid would refuse."""
    short = bytes_of("body_text", "body_html") <= SUBSTITUTION_BYTES - len(TEXT + HTML)
    return unfit(messages, unfit_address=is_email, no_subject=pl.col("subject") != "", too_long=short)


def files(messages: pl.DataFrame, settings: Sendgrid) -> Files:
    """The requests of messages of e-mail, those with HTML and those without apart."""
    mail = pl.struct(
        to=pl.concat_list(pl.struct(email="address")),
        subject="subject",
        substitutions=record({TEXT: pl.col("body_text"), HTML: pl.col("body_html")}),
        custom_args=pl.struct(message_id="idempotency_key", batch_id="batch_id", customer_id="customer_id"),
        send_at=unix("send_at"),
    )
    sender = {"email": settings.sender, "name": settings.sender_name}
    text, html = (
        pl.struct(type=pl.lit(kind), value=pl.lit(tag)) for kind, tag in (("text/plain", TEXT), ("text/html", HTML))
    )
    body = {
        "personalizations": pl.col("items"),
        "from": record({name: pl.lit(value) for name, value in sender.items() if value is not None}),
        "content": pl.when("has_html").then(pl.concat_list(text, html)).otherwise(pl.concat_list(text)),
    }
    if settings.unsubscribe_group is not None:
        body["asm"] = pl.struct(group_id=pl.lit(settings.unsubscribe_group))
    if settings.batch_id is not None:
        body["batch_id"] = pl.lit(settings.batch_id)
    written = messages.with_columns(has_html=pl.col("body_html") != "")
    return in_chunks(written, mail, body, size=PERSONALIZATIONS, together=["has_html"])
