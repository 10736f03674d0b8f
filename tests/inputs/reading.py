"""Reads test inputs the way a night does and holds every result against what must always be true of one."""

import datetime as dt
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lifecycle_assets.contracts import Contract, registry
from lifecycle_assets.inputs import ingest
from lifecycle_assets.inputs.contracts import OrderLines, Quarantine
from lifecycle_assets.night import Night
from lifecycle_assets.settings import Shop
from resources.sources import Sources

TODAY = dt.date(2026, 6, 30)
TABLES = {contract.table: contract for contract in ingest.tables(list(registry().values()))}
HEADER = "order_id,customer_id,ordered_at,product_id,quantity,unit_price"
LINE = "O1,C1,2026-01-02 10:00:00,P1,2,3.50"


@dataclass(frozen=True)
class Result:
    table: pl.DataFrame
    aside: pl.DataFrame
    read: dict[str, Any]

    def rules(self) -> list[tuple[int, str | None, str]]:
        """(row, column, rule) of every row that was set aside."""
        return [(row["row_number"], row["column"], row["rule"]) for row in self.aside.to_dicts()]


def night(place: Path | str, **settings: Any) -> Night:
    """A night of a Spanish shop in euros that puts up with any number of bad rows, unless told otherwise."""
    given = {"name": "Test", "timezone": "Europe/Madrid", "currency": "EUR", "country": "ES", "input": str(place)}
    shop = Shop.model_validate({**given, "inputs": {"quarantine_limit": 1.0}, **settings})
    return Night("test", TODAY, TODAY, dt.datetime(2026, 6, 30, 1, tzinfo=dt.UTC), shop)


def read(at: Night, tmp_path: Path, contract: Contract = OrderLines) -> Result:
    """Ingest one table; the counts must add up, the rows satisfy the contract, and every row number occur once."""
    folder = tmp_path / "staged"
    folder.mkdir(exist_ok=True)
    done = ingest.ingest(contract, Sources(tmp_path).open(at.settings), at, folder)
    result = Result(pl.read_parquet(done.table), pl.read_parquet(done.quarantine), done.read.row(0, named=True))
    counts = result.read
    assert counts["rows_read"] == counts["rows_kept"] + counts["rows_quarantined"]
    assert counts["rows_kept"] == result.table.height
    assert counts["rows_quarantined"] == result.aside.height
    assert result.aside.filter(pl.col("rule") == "left_out").height == counts["rows_left_out"]
    assert result.table.schema == contract.polars_schema
    assert not contract.violations(result.table)
    assert not Quarantine.violations(result.aside)
    if contract is OrderLines:
        numbers = [*result.table["line_no"], *result.aside["row_number"]]
        assert sorted(numbers) == list(range(1, counts["rows_read"] + 1))
        assert result.table["line_no"].is_sorted()
    return result


def read_csv(
    tmp_path: Path, content: str | bytes, *, name: str = "orders.csv", table: str = "order_lines", **settings: Any
) -> Result:
    """Write one file and read it."""
    folder = tmp_path / "input"
    folder.mkdir(exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    if table != "order_lines":
        (folder / "orders.csv").write_text(f"{HEADER}\n{LINE}\n")
    return read(night(folder, **settings), tmp_path, TABLES[table])


def lines(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"
