"""Which column of an export is which column of a raw table.

A format gives a `Recipe` per raw table, the shop's configuration corrects it, and `plan` lays it over the columns that an
input has. Names are compared without case, spaces, hyphens and underscores; canonical names map to themselves.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import ContractError
from lifecycle_assets.inputs.feed import Feed
from lifecycle_assets.inputs.quarantine import MASK
from lifecycle_assets.settings import LeaveOut, TableMapping

Frames = Callable[[pl.DataFrame], pl.DataFrame]

# What people call a column that is stored under another name: (table, their name) -> ours.
ALIASES = {("suppressions", "email"): "email_sha256"}
DERIVED = frozenset({"shop_id", "as_of", "line_no", "order_date", "amount", "attributes", "groups"})
"""Columns that the ingest makes; an input does not have them."""


@dataclass(frozen=True)
class Scan:
    """The tables of an export that another one is made from: `scan("orders")` is one of them, as it was read.

    `ordered_at` gives the moments of the order lines' export, one per row of `scan("order_lines")`, read as the table
    raw.order_lines reads them; null where there is none or it cannot be read.
    """

    frame: Callable[[str], pl.LazyFrame]
    ordered_at: Callable[[], pl.Series]

    def __call__(self, name: str) -> pl.LazyFrame:
        return self.frame(name)


@dataclass(frozen=True)
class Recipe:
    """How a format fills one raw table.

    `names` are what the table is called in the export (`*` matches anything). `helpers` are typed columns beyond the
    contract's, named in `columns` as others are, that `finish` computes with; `supplies` are required columns that it computes.
    `prepare` works on the rows as they were
    read, `finish` on the typed ones; with `together`, rows that follow one another and agree in that column of the export
    come to them in one frame. `build` makes the table out of several tables of the export instead, under canonical names.
    """

    names: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    constants: Mapping[str, str | float | bool] = field(default_factory=dict)
    leave_out: tuple[LeaveOut, ...] = ()
    timezone: str | None = None
    helpers: Mapping[str, pl.DataType] = field(default_factory=dict)
    supplies: tuple[str, ...] = ()
    together: str | None = None
    prepare: Frames | None = None
    finish: Frames | None = None
    build: Callable[[Scan], pl.LazyFrame] | None = None
    build_from: tuple[str, ...] = ()
    asked: TableMapping = field(default_factory=TableMapping)


@dataclass(frozen=True)
class Format:
    """A shop system's export. An input is of this format when one of its tables has all columns of one of the `marks`."""

    name: str
    tables: Mapping[str, Recipe]
    marks: tuple[tuple[str, ...], ...] = ()

    def recognises(self, columns: Sequence[str]) -> bool:
        have = {normal(column) for column in columns}
        return any(have.issuperset(normal(column) for column in mark) for mark in self.marks)


@dataclass(frozen=True)
class Plan:
    """A recipe laid over an input: which input column fills which column of the table, and what is left over."""

    contract: Contract
    recipe: Recipe
    taken: Mapping[str, str]
    others: tuple[str, ...]

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """The types of the columns that are filled from the input or by a constant."""
        all_types = {**self.contract.polars_schema, **self.recipe.helpers}
        filled = {*self.taken, *self.recipe.constants}
        return {name: dtype for name, dtype in all_types.items() if name in filled}


def corrected(contract: Contract, recipe: Recipe, asked: TableMapping) -> Recipe:
    """A format's recipe with the shop's own words on top. `leave_out` replaces the format's, the rest adds to it."""
    own_targets = set(asked.columns.values())
    columns = {name: target for name, target in recipe.columns.items() if target not in own_targets} | asked.columns
    return replace(
        recipe,
        names=(asked.file,) if asked.file else recipe.names or (contract.table,),
        columns=columns,
        values={**recipe.values, **asked.values},
        constants={**recipe.constants, **asked.constants},
        leave_out=asked.leave_out if "leave_out" in asked.model_fields_set else recipe.leave_out,
        timezone=asked.timezone or recipe.timezone,
        asked=asked,
    )


def plan(contract: Contract, recipe: Recipe, feed: Feed) -> Plan:
    """Lay the recipe over the input's columns.

    Raises ContractError naming the input, the columns that are required and missing (and those that it has), a configured
    column that it does not have, or one that it has twice.
    """
    by_name = {normal(column): column for column in reversed(feed.columns)}
    taken: dict[str, str] = {}
    for name, asked_target in {**recipe.asked.columns, **recipe.columns}.items():
        target = ALIASES.get((contract.table, asked_target), asked_target)
        if target not in contract.columns and target not in recipe.helpers:
            raise ContractError(
                f"mapping of {contract.name}: {name} is mapped to '{target}', which is no column of the table."
                f"{_nearest(target, list(contract.columns))}"
            )
        found = name if name in feed.columns else by_name.get(normal(name))
        if found:
            taken.setdefault(target, found)
        elif name in recipe.asked.columns:
            raise ContractError(
                f"{feed.origin}: there is no column '{name}', which the shop's mapping takes for {contract.name}.{target}."
                f"{_nearest(name, feed.columns)} The columns are: {_listed(feed.columns)}."
            )
    also = {target: alias for (table, alias), target in ALIASES.items() if table == contract.table}
    for target in [*contract.columns, *recipe.helpers]:
        canonical = by_name.get(normal(target)) or by_name.get(normal(also.get(target, target)))
        if canonical and target not in taken and target not in DERIVED and canonical not in taken.values():
            taken[target] = canonical
    twice = sorted(set(taken.values()) & feed.repeated)
    if twice:
        raise ContractError(
            f"{feed.origin}: the column name {_listed(twice)} stands in the header more than once, and it is needed for "
            f"{contract.name}. Give each column a name of its own."
        )
    given = {*taken, *recipe.constants, *recipe.supplies}
    missing = [name for name in required(contract) if name not in given]
    if missing:
        raise ContractError(
            f"{feed.origin}: {contract.name} needs {', '.join(missing)}, and no column is mapped to "
            f"{'it' if len(missing) == 1 else 'them'}. The columns are: {_listed(feed.columns)}. "
            f"Name the right one under mapping.tables.{contract.table}.columns, e.g. "
            f"`{_listed(feed.columns[:1]) if feed.columns else 'Column'}: {missing[0]}`."
        )
    used = {*taken.values()}
    return Plan(contract, recipe, taken, tuple(column for column in feed.columns if column not in used))


def required(contract: Contract) -> list[str]:
    """Columns that an input must have: not nullable, no default, not made by the ingest."""
    return [
        name
        for name, column in contract.columns.items()
        if not column.nullable and name not in DERIVED and "default" not in (column.metadata or {})
    ]


def apply(plan: Plan, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows under the table's column names, values replaced and constants added; still untyped."""
    columns: list[pl.Expr] = []
    for target, name in plan.taken.items():
        if name not in rows.columns:  # a part that lacks a column which other parts have
            columns.append(pl.lit(None, dtype=pl.String).alias(target))
            continue
        column = pl.col(name)
        words = plan.recipe.values.get(target)
        if words:
            known = {word.strip().lower(): ours for word, ours in words.items()}
            text = column.cast(pl.String).str.strip_chars()
            column = (
                pl.when(text.str.to_lowercase().is_in(list(known)))
                .then(text.str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.String))
                .otherwise(text)
            )
        columns.append(column.alias(target))
    constants = [pl.lit(value).alias(name) for name, value in plan.recipe.constants.items() if name not in plan.taken]
    return rows.select(columns).with_columns(constants) if columns else rows.select(constants)


def left_out(plan: Plan, rows: pl.DataFrame, mapped: pl.DataFrame) -> list[tuple[LeaveOut, pl.Series]]:
    """For each rule of what to leave out, the rows that it meets. Its column is one of the export or of the table.

    Raises ContractError when there is no such column.
    """
    met = []
    by_name = {normal(column): column for column in reversed(rows.columns)}
    for rule in plan.recipe.leave_out:
        if rule.column in mapped.columns:
            column = mapped[rule.column]
        elif normal(rule.column) in by_name:
            column = rows[by_name[normal(rule.column)]]
        else:
            raise ContractError(
                f"mapping of {plan.contract.name}: leave_out names the column '{rule.column}', which the input does not "
                f"have.{_nearest(rule.column, rows.columns)}"
            )
        met.append((rule, column.cast(pl.String).str.strip_chars().is_in(list(rule.values)).fill_null(False)))
    return met


def normal(name: str) -> str:
    """A column name as it is compared: without case, spaces, hyphens and underscores."""
    return re.sub(r"[\s_\-]+", "", name).lower()


def choices(column: dy.Column) -> bool:
    """Whether the column holds words out of a fixed list, which inputs write in any case."""
    return isinstance(column, dy.String) and column.check is not None


def default(column: dy.Column) -> Any:
    return (column.metadata or {}).get("default")


def _nearest(name: str, names: Sequence[str]) -> str:
    """What to say after an unknown name: the known one that is like it, if one is."""
    near = difflib.get_close_matches(name, names, n=1)
    return f" Nearest: {_listed(near)}." if near else ""


def _listed(columns: Sequence[str], most: int = 40) -> str:
    rest = f" and {len(columns) - most} more" if len(columns) > most else ""
    # Where the header is missing, the first customer's row stands in its place.
    named = (MASK if "@" in column else column for column in columns[:most])
    return ", ".join(named) + rest if columns else "none at all"
