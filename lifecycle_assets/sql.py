"""Roll-up SQL as a value: a statement in the subset that DuckDB, Spark and PostgreSQL share, with its parameters.

The statements live in `.sql` files beside the modules that own them. Tables are written `area.table`, parameters `:name`.
Nothing is ever pasted into the text: parameters become typed literals of the parsed statement. A parameter cannot open a
select list, where DuckDB reads `:name` as the alias of what follows. A bare parameter cannot be
the first thing after SELECT (`:x` would start an alias there): write `CAST(:shop AS VARCHAR) AS shop_id`.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import sqlglot
from sqlglot import exp

Value = str | int | float | bool | dt.date | dt.datetime | None


@dataclass(frozen=True)
class Sql:
    """A SELECT over contract tables, not yet run."""

    text: str
    params: Mapping[str, Value] = field(default_factory=dict)

    def parsed(self) -> exp.Expr:
        """The statement with its parameters bound; raises KeyError naming a parameter that has no value."""
        tree = sqlglot.parse_one(self.text, dialect="duckdb")
        for placeholder in list(tree.find_all(exp.Placeholder)):
            placeholder.replace(_literal(self.params[placeholder.name]))
        return tree

    def tables(self) -> list[str]:
        """The `area.table` names that the statement reads; needs no parameter values."""
        tree = sqlglot.parse_one(self.text, dialect="duckdb")
        return sorted({f"{t.db}.{t.name}" for t in tree.find_all(exp.Table) if t.db})

    def to(self, dialect: str) -> str:
        """The statement in another dialect; raises sqlglot's UnsupportedError where it cannot be said there."""
        return self.parsed().sql(dialect=dialect, unsupported_level=sqlglot.ErrorLevel.RAISE, comments=False)


def load(package: str, name: str, **params: Value) -> Sql:
    """The `.sql` file `name` beside the modules of `package`, e.g. `load("lifecycle_assets.features", "orders", as_of=d)`."""
    return Sql(resources.files(package).joinpath("sql", f"{name}.sql").read_text("utf-8"), params)


def _literal(value: Any) -> exp.Expr:
    if isinstance(value, dt.datetime):
        return exp.cast(exp.Literal.string(value.astimezone(dt.UTC).isoformat()), exp.DataType.Type.TIMESTAMPTZ)
    if isinstance(value, dt.date):
        return exp.cast(exp.Literal.string(value.isoformat()), exp.DataType.Type.DATE)
    return exp.convert(value)
