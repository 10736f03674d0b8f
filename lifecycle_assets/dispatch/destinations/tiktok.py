"""TikTok customer file audiences.

Version 1, for POST /open_api/v1.3/segment/mapping/ of the TikTok API for Business (Segments API): at most 10 000 rows in a
request. E-mail address and telephone number (E.164 with the plus sign) are hashed; nothing else is taken, no value either.
"""

import json

import polars as pl

NAME = "tiktok"
VERSION = 1
ROWS = 10_000
TAKES = {"email": pl.col("email"), "phone": pl.col("phone")}
_ACTIONS = {"add": "add", "remove": "delete"}
_SCHEMA = {"EMAIL_SHA256": "email_sha256", "PHONE_SHA256": "phone_sha256"}


def body(rows: pl.DataFrame, action: str) -> str:
    """The request that adds or removes `rows` of dispatch.audiences, all of one list."""
    audience = pl.lit(json.dumps(rows.item(0, "list_id")))
    known = [
        pl.format('{{"id":"{}","audience_ids":[{}]}}', column, audience).fill_null("{}") for column in _SCHEMA.values()
    ]
    data = rows.select(pl.format("[{}]", pl.concat_str(known, separator=","))).to_series()
    head = {
        "advertiser_ids": [rows.item(0, "account_id")],
        "action": _ACTIONS[action],
        "id_schema": list(_SCHEMA),
    }
    return f'{json.dumps(head, separators=(",", ":"))[:-1]},"batch_data":[{",".join(data)}]}}'
