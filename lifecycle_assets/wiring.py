"""Turns contracts into the arguments of ordinary Dagster assets. Only `assets.py` modules and `definitions.py` use it."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from lifecycle_assets.contracts import Contract, describe
from lifecycle_assets.sql import Sql

SHOP_PARTITIONS = "shops"
SHOPS = dg.DynamicPartitionsDefinition(name=SHOP_PARTITIONS)
# The tag of a run that names its shop.
SHOP_TAG = "dagster/partition"
# The pool of the assets that take the most memory: where several nights run at once, they take turns at these.
HEAVY = "heavy"
RETRY = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL)


def asset_key(contract: Contract) -> dg.AssetKey:
    return dg.AssetKey(contract.key)


def table_asset(contract: Contract, *kinds: str, resources: Iterable[str] = ()) -> dict[str, Any]:
    """Arguments of `@dg.asset` for the asset that makes the contract's table; `resources` are the keys of those that it
    needs besides `nights`.

    @dg.asset(**table_asset(CustomerRfm, "polars"), ins=reads(CustomerFeatures))
    """
    return {
        "key": asset_key(contract),
        "group_name": contract.area,
        "description": contract.description,
        "kinds": {*kinds, "parquet"},
        "partitions_def": SHOPS,
        "metadata": {"dagster/column_schema": column_schema(contract), "table": contract.name},
        "io_manager_key": "warehouse",
        "required_resource_keys": {"nights", *resources},
    }


def table_out(contract: Contract, *kinds: str) -> dg.AssetOut:
    """One of several tables that a single computation makes: an output of `@dg.multi_asset`."""
    arguments = table_asset(contract, *kinds)
    for of_the_whole in ("partitions_def", "required_resource_keys"):
        del arguments[of_the_whole]
    return dg.AssetOut(**arguments)


def reads(*contracts: Contract) -> Mapping[str, dg.AssetIn]:
    """Inputs of an asset: each table under its short name, `customer_rfm: pl.LazyFrame`."""
    return {c.table: dg.AssetIn(key=asset_key(c), input_manager_key="warehouse") for c in contracts}


def sql_deps(sql: Sql) -> Sequence[dg.AssetKey]:
    """The tables that a statement reads, as upstream assets."""
    return [dg.AssetKey(name.split(".")) for name in sql.tables()]


def column_schema(contract: Contract) -> dg.TableSchema:
    """The contract as the Dagster UI shows it."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=contract.sql_types()[name],
                description=describe(contract, name),
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for name, column in contract.columns.items()
        ],
        constraints=dg.TableConstraints(other=[f"key: {', '.join(contract.primary_key)}"]),
    )


def picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    """A picture on the asset's page, under its title."""
    image = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"**{title}**\n\n![{title}](data:image/svg+xml;base64,{image})")
