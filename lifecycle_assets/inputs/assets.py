"""The raw tables as assets, one per table, made by one factory; and what was read and what was set aside.

What belongs here: which input becomes which table. What does not: how rows are read, mapped or checked (`ingest`).
"""

import dagster as dg
import polars as pl

from lifecycle_assets import contracts
from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import InputNotReadyError
from lifecycle_assets.inputs import ingest
from lifecycle_assets.inputs.contracts import InputReads, Quarantine
from lifecycle_assets.night import night_of
from lifecycle_assets.staged import Staged
from lifecycle_assets.wiring import RETRY, asset_key, table_asset

TABLES = ingest.tables(list(contracts.registry().values()))


def _raw_table(contract: Contract) -> dg.AssetsDefinition:
    @dg.asset(**table_asset(contract, "file", resources=("lake", "sources")))
    def raw_table(context: dg.AssetExecutionContext) -> Staged:
        night = night_of(context)
        lake = context.resources.lake
        try:
            source = context.resources.sources.open(night.settings)
            with lake.workspace(night.shop) as folder:
                done = ingest.ingest(contract, source, night, folder, lake.erased(night.shop))
                reads = folder / "reads.parquet"
                done.read.write_parquet(reads)
                lake.leave_part(night.shop, f"{contract.table}.quarantine", done.quarantine)
                lake.leave_part(night.shop, f"{contract.table}.reads", reads)
                staged = lake.keep_staged(contract, night.shop, done.table)
        except InputNotReadyError as error:
            # The one kind of problem that may pass by itself; all others fail at once.
            raise dg.RetryRequested(max_retries=RETRY.max_retries, seconds_to_wait=RETRY.delay or 1) from error
        if done.source is None:
            context.add_output_metadata({"source": f"not given; a table named {contract.table} would fill it"})
        else:
            context.add_output_metadata(
                {
                    "source": done.source,
                    "rows read": done.number("rows_read"),
                    "rows kept": done.number("rows_kept"),
                    "rows quarantined": done.number("rows_quarantined"),
                    "rows left out on purpose": done.number("rows_left_out"),
                }
            )
        if done.rows_cautious:
            context.add_output_metadata({"opt-outs read with caution": done.rows_cautious})
        return Staged(staged)

    return raw_table


raw_tables = [_raw_table(contract) for contract in TABLES]


@dg.asset(
    **table_asset(Quarantine, "polars", resources=("lake",)),
    deps=[asset_key(contract) for contract in TABLES],
)
def quarantine(context: dg.AssetExecutionContext) -> pl.LazyFrame:
    return context.resources.lake.parts(Quarantine, night_of(context).shop, "quarantine").sort("table", "row_number")


@dg.asset(
    **table_asset(InputReads, "polars", resources=("lake",)),
    deps=[asset_key(contract) for contract in TABLES],
)
def input_reads(context: dg.AssetExecutionContext) -> pl.LazyFrame:
    return context.resources.lake.parts(InputReads, night_of(context).shop, "reads").sort("table")


@dg.asset_check(
    asset=asset_key(InputReads),
    name="every_row_accounted_for",
    description="Rows read = rows kept + rows quarantined, for every input, and so many are in the tables.",
    blocking=True,
    additional_deps=[asset_key(Quarantine)],
    required_resource_keys={"lake", "nights"},
)
def every_row_accounted_for(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    shop = night_of(context).shop
    lake = context.resources.lake
    reads = lake.scan(InputReads, shop).collect()
    aside = lake.scan(Quarantine, shop).group_by("table").agg(pl.len().cast(pl.Int64).alias("aside")).collect()
    kept = pl.DataFrame(
        [(contract.table, lake.scan(contract, shop).select(pl.len()).collect().item()) for contract in TABLES],
        schema={"table": pl.String, "kept": pl.Int64},
        orient="row",
    )
    counted = reads.join(aside, on="table", how="left").join(kept, on="table", how="left").fill_null(0)
    wrong = counted.filter(
        (pl.col("rows_read") != pl.col("rows_kept") + pl.col("rows_quarantined"))
        | (pl.col("rows_kept") != pl.col("kept"))
        | (pl.col("rows_quarantined") != pl.col("aside"))
    )
    return dg.AssetCheckResult(
        passed=wrong.is_empty(),
        description=None if wrong.is_empty() else f"the counts do not add up for: {', '.join(wrong['table'])}",
        metadata={
            "rows read": int(counted["rows_read"].sum()),
            "rows kept": int(counted["rows_kept"].sum()),
            "rows quarantined": int(counted["rows_quarantined"].sum()),
        },
    )
