"""What a table is: one declaration of columns, keys, ranges, units and descriptions.

A contract is a dataframely schema under a table name. From it come the validation and the quarantine, the DDL and the
column comments in the warehouse, the schema shown in the Dagster UI, the blocking check and the data dictionary.

    @table("features.customer_rfm")
    class CustomerRfm(dy.Schema):
        '''How recently, how often and for how much each customer bought.'''
        shop_id = shop_key()
        ...
"""

import datetime as dt
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dataframely as dy
import polars as pl

from lifecycle_assets.errors import ContractError

MONEY = pl.Decimal(18, 4)
AREAS = ("raw", "features", "models", "dispatch", "reports")
# Stands between a column's meaning and the values that it may have.
ONE_OF = " One of: "

_REGISTRY: dict[str, "Contract"] = {}


@dataclass(frozen=True, eq=False)
class Contract:
    """A named table and its rules. `rows` is the dataframely schema that every stored row satisfies."""

    rows: type[dy.Schema]
    area: str
    table: str
    description: str
    history: bool = False
    append_only: bool = False
    needs: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """`features.customer_rfm`, as people write it in SQL."""
        return f"{self.area}.{self.table}"

    @property
    def key(self) -> list[str]:
        """`["features", "customer_rfm"]`, the asset key."""
        return [self.area, self.table]

    @cached_property
    def columns(self) -> dict[str, dy.Column]:
        return self.rows.columns()

    @cached_property
    def primary_key(self) -> list[str]:
        return self.rows.primary_key()

    @property
    def polars_schema(self) -> pl.Schema:
        return pl.Schema({name: column.dtype for name, column in self.columns.items()})

    def empty(self) -> pl.DataFrame:
        """The typed table without rows."""
        return pl.DataFrame(schema=self.polars_schema)

    def sql_types(self) -> dict[str, str]:
        """Column name -> DuckDB type."""
        return {name: _sql_type(dtype) for name, dtype in self.polars_schema.items()}

    def unit(self, column: str) -> str | None:
        return (self.columns[column].metadata or {}).get("unit")

    def is_personal(self, column: str) -> bool:
        """Whether the column's values must not be shown outside the table."""
        return bool((self.columns[column].metadata or {}).get("personal"))

    def conform(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The contract's columns in the contract's order and types.

        Raises ContractError naming the columns that are missing; columns beyond the contract are dropped.
        """
        have = frame.collect_schema()
        if missing := self.missing(frame):
            raise ContractError(
                f"{self.name}: column(s) {', '.join(missing)} missing; got {', '.join(have) or 'no columns'}. "
                "Every column of the contract must be present, null where unknown."
            )
        return frame.select(
            pl.col(name) if have[name] == dtype else pl.col(name).cast(dtype)
            for name, dtype in self.polars_schema.items()
        )

    def missing(self, frame: pl.LazyFrame) -> list[str]:
        """The contract's columns that the frame does not have."""
        have = frame.collect_schema()
        return [name for name in self.columns if name not in have]

    def violations(self, frame: pl.DataFrame) -> dict[str, int]:
        """Rule -> number of rows that break it, e.g. `{"rfm_total|min": 3}`; empty when the table is right."""
        return self.rows.filter(frame).failure.counts()

    def require(self, frame: pl.DataFrame) -> None:
        """Raise ContractError with the broken rules, their counts and three rows, unless every row is right."""
        failure = self.rows.filter(frame).failure
        counts = failure.counts()
        if counts:
            rules = ", ".join(f"{rule} ({count} rows)" for rule, count in counts.items())
            keys = failure.invalid().select(self.primary_key or list(self.columns)[:3]).head(3)
            # An id may be an e-mail address.
            keys = keys.with_columns(pl.col(pl.String).str.replace(".*@.*", "***"))
            raise ContractError(
                f"{self.name}: {len(failure)} of {frame.height} rows break the contract: {rules}. "
                f"First keys: {keys.rows()}. "
                "The table was left as it was."
            )

    def ddl(self, dialect: str = "duckdb") -> str:
        """CREATE TABLE with key, nullability and comments, for DuckDB or PostgreSQL; statements end in `;`."""
        import sqlglot

        lines = []
        for name, column in self.columns.items():
            required = "" if column.nullable else " NOT NULL"
            lines.append(f'"{name}" {_sql_type(column.dtype)}{required}')
        if self.primary_key:
            lines.append(f"PRIMARY KEY ({', '.join(f'{chr(34)}{c}{chr(34)}' for c in self.primary_key)})")
        create = f'CREATE TABLE "{self.area}"."{self.table}" ({", ".join(lines)})'
        statements = [sqlglot.transpile(create, read="duckdb", write=dialect, pretty=True)[0]]
        statements += comments(self, kind="TABLE")
        return ";\n".join(statements) + ";"


def comments(contract: Contract, kind: str) -> Iterator[str]:
    """COMMENT ON statements for a table or a view and each of its columns."""
    name = f'"{contract.area}"."{contract.table}"'
    yield f"COMMENT ON {kind} {name} IS {_literal(contract.description)}"
    for column in contract.columns:
        yield f'COMMENT ON COLUMN {name}."{column}" IS {_literal(describe(contract, column))}'


def describe(contract: Contract, column: str) -> str:
    """One line for a column: what it means, and its unit where it has one."""
    text = contract.columns[column].description or column
    unit = contract.unit(column)
    return f"{text} [{unit}]" if unit else text


def table(
    name: str, *, history: bool = False, append_only: bool = False, needs: tuple[str, ...] = ()
) -> Callable[[type[dy.Schema]], Contract]:
    """Declare a table. `history` keeps one dated slice per night beside the current one; `append_only` tables are never
    rewritten; `needs` names the optional raw inputs without which the table (or part of it) stays empty."""

    def declare(rows: type[dy.Schema]) -> Contract:
        area, _, short = name.partition(".")
        if area not in AREAS or not short:
            raise ValueError(f"{name}: a table is named area.table, with area one of {', '.join(AREAS)}")
        doc = inspect.cleandoc(rows.__doc__ or "")
        if not doc:
            raise ValueError(f"{name}: a contract needs a docstring; it is the table's description")
        contract = Contract(rows, area, short, " ".join(doc.split()), history, append_only, needs)
        _REGISTRY[name] = contract
        return contract

    return declare


def registry() -> dict[str, Contract]:
    """All contracts whose modules were imported, by name, in the order of the flow."""
    return dict(sorted(_REGISTRY.items(), key=lambda item: (AREAS.index(item[1].area), item[0])))


# --- column kinds: a type, its range and its unit in one word ---------------------------------------------------------


def shop_key(*, unique: bool = True) -> dy.String:
    """First column of every table; `unique=False` for a table whose rows have no key."""
    return dy.String(primary_key=unique, min_length=1, description="The shop (tenant) that the row belongs to.")


def as_of_column(*, unique: bool = True) -> dy.Date:
    """Second column of every table."""
    description = "The date at whose end the world is looked at; nothing later influences the row."
    return dy.Date(primary_key=unique, description=description)


def key(description: str) -> dy.String:
    return dy.String(primary_key=True, min_length=1, description=description)


def text(description: str, *, nullable: bool = True, values: list[str] | None = None) -> dy.String:
    check = (lambda column: column.is_in(values)) if values else None
    suffix = f"{ONE_OF}{', '.join(values)}." if values else ""
    return dy.String(nullable=nullable, description=description + suffix, check=check)


def personal(description: str, *, nullable: bool = True) -> dy.String:
    """Text about a person: its values never stand in a message, a log or a preview."""
    return dy.String(nullable=nullable, description=description, metadata={"personal": True})


def money(description: str, *, nullable: bool = False, minimum: int | None = None) -> dy.Decimal:
    """An exact amount in the shop's currency, four decimals."""
    return dy.Decimal(18, 4, nullable=nullable, min=minimum, description=description, metadata={"unit": "currency"})


def number(
    description: str,
    unit: str | None = None,
    *,
    nullable: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
) -> dy.Float64:
    metadata = {"unit": unit} if unit else None
    return dy.Float64(nullable=nullable, min=minimum, max=maximum, description=description, metadata=metadata)


def share(description: str, *, nullable: bool = False) -> dy.Float64:
    return number(description, "share 0..1", nullable=nullable, minimum=0, maximum=1)


def count(
    description: str, unit: str = "count", *, nullable: bool = False, minimum: int = 0, maximum: int | None = None
) -> dy.Int64:
    return dy.Int64(nullable=nullable, min=minimum, max=maximum, description=description, metadata={"unit": unit})


def flag(description: str, *, nullable: bool = False) -> dy.Bool:
    return dy.Bool(nullable=nullable, description=description)


def date(description: str, *, nullable: bool = False) -> dy.Date:
    return dy.Date(nullable=nullable, description=description)


def timestamp(description: str, *, nullable: bool = False, earliest: dt.datetime | None = None) -> dy.Datetime:
    return dy.Datetime(
        nullable=nullable, time_zone="UTC", min=earliest, description=description, metadata={"unit": "UTC"}
    )


_SQL_TYPES: dict[Any, str] = {
    pl.String: "VARCHAR",
    pl.Float64: "DOUBLE",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
}


def _sql_type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Decimal):
        return f"DECIMAL({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMPTZ" if dtype.time_zone else "TIMESTAMP"
    return _SQL_TYPES[dtype.base_type()]


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
