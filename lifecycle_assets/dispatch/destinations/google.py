"""Google Customer Match.

Version 1, for offlineUserDataJobs:addOperations of a job of type CUSTOMER_MATCH_USER_LIST in the Google Ads API v26 (Google
Ads API, Get started with Customer Match): at most 10 000 identifiers in a request; a row has up to three of them. The job
itself names the list and says that consent was given. E-mail address, telephone number and names are hashed, country and
postal code never; a postal address counts only with all of its four parts.
"""

import polars as pl

from lifecycle_assets.dispatch.destinations.normalising import name

NAME = "google"
VERSION = 1
ROWS = 3_333
_ADDRESS = {
    "first_name": name(pl.col("first_name")),
    "last_name": name(pl.col("last_name")),
    "country": pl.col("country"),
    "postal_code": pl.col("postal_code"),
}
_IS_WHOLE = pl.all_horizontal(part.is_not_null() for part in _ADDRESS.values())
TAKES = {
    "email": pl.col("email"),
    "phone": pl.col("phone"),
    **{column: pl.when(_IS_WHOLE).then(part) for column, part in _ADDRESS.items()},
}
_OPERATIONS = {"add": "create", "remove": "remove"}
# Each is null where a part of it is.
_IDENTIFIERS = (
    '{{"hashedEmail":"{email_sha256}"}}',
    '{{"hashedPhoneNumber":"{phone_sha256}"}}',
    '{{"addressInfo":{{"hashedFirstName":"{first_name_sha256}","hashedLastName":"{last_name_sha256}",'
    '"countryCode":"{country}","postalCode":"{postal_code}"}}}}',
)


def body(rows: pl.DataFrame, action: str) -> str:
    """The request that adds or removes `rows` of dispatch.audiences."""
    identifiers = pl.concat_str([pl.format(text) for text in _IDENTIFIERS], separator=",", ignore_nulls=True)
    operation = pl.format('{{"{}":{{"userIdentifiers":[{}]}}}}', pl.lit(_OPERATIONS[action]), identifiers)
    operations = rows.select(operation).to_series()
    return f'{{"enablePartialFailure":true,"operations":[{",".join(operations)}]}}'
