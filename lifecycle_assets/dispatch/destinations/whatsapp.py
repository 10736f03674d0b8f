"""WhatsApp Cloud API: template messages, one per request.

Version 1, for POST https://graph.facebook.com/v23.0/<phone number id>/messages (Meta for Developers, WhatsApp Cloud API,
Messages; Template messages): an approved template by name and language, with the values of its body's variables in order.
A value has no line break, no tab and no more than four spaces in a row; a body has 1 024 characters at most.

The API sends at once: a line is posted when the send_at of its message in requests.csv has come, and not after its
expires_at. The idempotency key is biz_opaque_callback_data, which every status report repeats.
"""

import polars as pl

from lifecycle_assets.dispatch.destinations.bodies import Files, one_each
from lifecycle_assets.dispatch.destinations.fitness import is_e164, unfit

NAME = "whatsapp"
VERSION = 1
CHARACTERS = 1_024
_VALUES = pl.col("parameters").str.json_decode(pl.List(pl.String))


def rejected(messages: pl.DataFrame) -> pl.DataFrame:
    """customer_id, reason of the messages that WhatsApp would refuse."""
    plain = _VALUES.list.eval(~pl.element().str.contains(r"[\n\r\t]| {5}|^\s*$")).list.all()
    short = _VALUES.list.eval(pl.element().str.len_chars()).list.sum() <= CHARACTERS
    return unfit(
        messages,
        unfit_address=is_e164,
        no_template=pl.col("template").is_not_null(),
        unfit_parameter=_VALUES.is_null() | plain,
        too_long=_VALUES.is_null() | short,
    )


def files(messages: pl.DataFrame) -> Files:
    """The requests of WhatsApp messages."""
    values = _VALUES.fill_null([]).list.eval(pl.struct(type=pl.lit("text"), text=pl.element()))
    components = pl.concat_list(pl.struct(type=pl.lit("body"), parameters=values))
    body = {
        "messaging_product": pl.lit("whatsapp"),
        "recipient_type": pl.lit("individual"),
        "to": pl.col("address"),
        "type": pl.lit("template"),
        "template": pl.struct(
            name="template",
            language=pl.struct(code="template_language"),
            components=pl.when(values.list.len() > 0).then(components).otherwise(components.list.head(0)),
        ),
        "biz_opaque_callback_data": pl.col("idempotency_key"),
    }
    return one_each(messages, body)
