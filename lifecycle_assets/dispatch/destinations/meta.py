"""Meta custom audiences.

Version 1, for POST (add) and DELETE (remove) of /<list_id>/users in the Marketing API v25.0 (Meta for Developers, Custom
Audience Users): at most 10 000 rows in a request. EXTERN_ID is the customer's id as it is, LOOKALIKE_VALUE a number as it
is; all else is hashed, and empty where nothing is known. Several addresses of a person are several rows of one EXTERN_ID.
"""

import json

import polars as pl

from lifecycle_assets.dispatch.destinations.normalising import digits, hashed, letters

NAME = "meta"
VERSION = 1
ROWS = 10_000
TAKES = {
    "email": pl.col("email"),
    "phone": digits(pl.col("phone")),
    "first_name": letters(pl.col("first_name")),
    "last_name": letters(pl.col("last_name")),
    "country": pl.col("country"),
}
_HASHED = {
    "EMAIL": "email_sha256",
    "PHONE": "phone_sha256",
    "FN": "first_name_sha256",
    "LN": "last_name_sha256",
    "COUNTRY": "country_sha256",
}


def body(rows: pl.DataFrame, action: str) -> str:
    """The request that adds or removes `rows` of dispatch.audiences."""
    rows = rows.with_columns(country_sha256=hashed(rows.get_column("country").str.to_lowercase()))
    # Of {"id":"..."} what stands between the colon and the bracket: the id as JSON writes it.
    cells = [pl.struct(id="customer_id").struct.json_encode().str.slice(6).str.head(-1)]
    cells += [pl.format('"{}"', pl.col(column).fill_null("")) for column in _HASHED.values()]
    schema = ["EXTERN_ID", *_HASHED]
    if action == "add" and rows.get_column("value").null_count() == 0:
        schema.append("LOOKALIKE_VALUE")
        cells.append(pl.col("value").cast(pl.String))
    data = rows.select(pl.format("[{}]", pl.concat_str(cells, separator=","))).to_series()
    return f'{{"payload":{{"schema":{json.dumps(schema, separators=(",", ":"))},"data":[{",".join(data)}]}}}}'
