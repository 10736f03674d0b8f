"""Who is a customer who has several accounts?

One row of raw.customers per profile of features.identity_map. What the profile's own account does not say, the next oldest
one that does says for it: address, first name, language, time zone. Of the consent flags a single no counts.
"""

import polars as pl

from lifecycle_assets.features.identity import moved, resolved

# The registration token of the customer's device, which is a further column of the input.
PUSH_TOKEN = pl.col("attributes").str.json_path_match("$.push_token").alias("push_token")


def people(customers: pl.LazyFrame, identity_map: pl.LazyFrame) -> pl.LazyFrame:
    """raw.customers with one row per profile, under the profile's customer_id; profiles of one account as they are."""
    several = moved(identity_map).select(customer_id="profile").unique()
    accounts = resolved(customers.with_columns(account=pl.col("customer_id")), identity_map)
    alone = accounts.join(several, on="customer_id", how="anti").drop("account")
    columns = alone.collect_schema().names()
    merged = (
        accounts.join(several, on="customer_id", how="semi")
        .sort(pl.col("account") != pl.col("customer_id"), "created_at", "account", nulls_last=True)
        .group_by("customer_id")
        .agg(
            pl.col(name).min() if name.startswith("consent_") else pl.col(name).drop_nulls().first()
            for name in columns
            if name != "customer_id"
        )
    )
    return pl.concat([alone, merged.select(columns)])
