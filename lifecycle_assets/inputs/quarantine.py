"""Which rows break their table's contract, why, in words - and when there are too many of them.

A row is set aside once, with the first column (in the table's order) that breaks a rule. Rows that the mapping leaves out on
purpose are set aside as well, under the rule `left_out`, and do not count against the limit; nor do those of erased people,
of which nothing is kept but the rule `erased`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import ContractError

ROW = "_row"
LEFT_OUT = "left_out"
ERASED = "erased"
ERASED_MESSAGE = "the person was erased"
ON_PURPOSE = (ERASED, LEFT_OUT)
MALFORMED = "malformed"
EXAMPLES = 3
SHORTEST = 40
MASK = "***"

REASONS = pl.Schema({ROW: pl.Int64, "column": pl.String, "rule": pl.String, "message": pl.String})

_WORDS = {
    "unreadable": "{column}: not {kind}",
    "nullability": "{column}: no value, and one is required",
    "min": "{column}: below {bound}, the smallest value allowed",
    "max": "{column}: above {bound}, the largest value allowed",
    "min_length": "{column}: empty, and a value is required",
    "check": "{column}: not one of the values allowed ({description})",
    "nan": "{column}: not a number (NaN)",
    "inf": "{column}: not a finite number",
    "future": "{column}: lies in the future",
    "currency": "{column}: another currency than the shop's",
    "repeated": "{column}: stands in an earlier row already, and must be unique",
    "range": "{column}: too large to be an amount of money",
}

_FIRST = ["nullability", "nan", "inf"]
"""Rules that come before a column's others: what is no number is not above the largest one either."""


@dataclass(frozen=True)
class Flag:
    """Rows that break a rule beyond the contract's own: `mask` marks them in the frame it was made from."""

    column: str | None
    rule: str
    mask: pl.Series
    message: str | None = None


@dataclass
class Counts:
    """What was set aside so far, by column and rule, with the first few values for the error message."""

    rows: dict[tuple[str | None, str], int] = field(default_factory=dict)
    examples: dict[tuple[str | None, str], list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    @property
    def left_out(self) -> int:
        return sum(count for (_, rule), count in self.rows.items() if rule in ON_PURPOSE)

    def add(self, reasons: pl.DataFrame) -> None:
        for column, rule, count in reasons.group_by("column", "rule").len().sort("column", "rule").iter_rows():
            self.rows[column, rule] = self.rows.get((column, rule), 0) + count


def row_checks(contract: Contract) -> type[dy.Schema]:
    """The contract as a schema for rows that carry their position, on which no rule over several rows applies."""
    return type(f"{contract.rows.__name__}Row", (contract.rows,), {ROW: dy.Int64(primary_key=True)})


def split(
    contract: Contract, checked: type[dy.Schema], typed: pl.DataFrame, flags: Sequence[Flag]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows kept, reasons of the others): `typed` holds the contract's columns and the position `_row`.

    The reasons are one row per rejected row: _row, column, rule, message.
    """
    valid, failure = checked.filter(typed)
    kept = pl.DataFrame(valid)
    flags = [flag for flag in flags if flag.mask.any()]
    if len(failure) == 0 and not flags:
        return kept, pl.DataFrame(schema=REASONS)
    marked = pl.DataFrame({ROW: typed[ROW], **{f"flag{i}": flag.mask for i, flag in enumerate(flags)}})
    names = {f"flag{i}": flag for i, flag in enumerate(flags)}
    marked = marked.filter(pl.any_horizontal(*names)) if flags else marked.clear()
    details = failure.details()
    rules = [name for name in details.columns if name not in typed.columns]
    broken = details.select(ROW, *((pl.col(rule).cast(pl.String) == "invalid").alias(rule) for rule in rules))
    every = marked.join(broken, on=ROW, how="full", coalesce=True)
    reasons = sorted(
        [*(Flag(*_parts(rule), pl.Series()) for rule in rules), *flags], key=lambda flag: _place(contract, flag)
    )
    columns = {id(flag): name for name, flag in names.items()}
    chosen = pl.coalesce(
        pl.when(pl.col(columns.get(id(reason)) or _rule_name(reason)).fill_null(False)).then(pl.lit(i, dtype=pl.Int32))
        for i, reason in enumerate(reasons)
    )
    table = pl.DataFrame(
        {
            "reason": list(range(len(reasons))),
            "column": [reason.column for reason in reasons],
            "rule": [reason.rule for reason in reasons],
            "message": [reason.message or message(contract, reason.column, reason.rule) for reason in reasons],
        },
        schema={"reason": pl.Int32, "column": pl.String, "rule": pl.String, "message": pl.String},
    )
    found = (
        every.select(ROW, chosen.alias("reason")).join(table, on="reason", how="left").select(list(REASONS)).sort(ROW)
    )
    if flags:
        kept = kept.join(marked.select(ROW), on=ROW, how="anti", maintain_order="left")
    return kept, found


def message(contract: Contract, column: str | None, rule: str) -> str:
    """What a rule says, in words; never with a value in it, which may be personal."""
    if column is None or column not in contract.columns:
        return f"the row breaks the rule '{rule}' of {contract.name}"
    declared = contract.columns[column]
    words = _WORDS.get(rule, "{column}: breaks the rule '" + rule + "'")
    return words.format(
        column=column,
        kind=_kind(declared.dtype),
        bound=getattr(declared, rule, None) if rule in ("min", "max") else None,
        description=(declared.description or "").rstrip("."),
    )


def as_json(rows: pl.DataFrame) -> pl.Series:
    """Each row as a JSON object of texts, as it was read."""
    texts = [
        pl.col(name) if dtype.is_nested() else pl.col(name).cast(pl.String, strict=False)
        for name, dtype in rows.schema.items()
    ]
    return rows.select(pl.struct(texts).struct.json_encode().alias("row")).to_series()


def examples(
    contract: Contract, counts: Counts, reasons: pl.DataFrame, mapped: Mapping[str, pl.Series], at: pl.Series
) -> None:
    """Note the first values that broke each rule; those of personal columns, and e-mail addresses in
    whatever column, are masked."""
    for column, rule in reasons.select("column", "rule").unique(maintain_order=True).iter_rows():
        noted = counts.examples.setdefault((column, rule), [])
        room = EXAMPLES - len(noted)
        if room <= 0 or rule in ON_PURPOSE:
            continue
        rows = reasons.filter(pl.col("column").eq_missing(column) & (pl.col("rule") == rule)).head(room)[ROW].to_list()
        for row in rows:
            if column is None or column not in mapped:
                noted.append(f"row {row}")
                continue
            value = mapped[column][int((at == row).arg_true()[0])]
            noted.append(f"row {row}: {MASK if contract.is_personal(column) else shown(value)}")


def require_few(contract: Contract, origin: str, counts: Counts, rows_read: int, limit: float) -> None:
    """Raise ContractError when more than `limit` of the rows break the contract, naming the rule that most of them break."""
    broken = counts.total - counts.left_out
    if not rows_read or broken <= limit * rows_read:
        return
    ranked = sorted(
        ((count, key) for key, count in counts.rows.items() if key[1] not in ON_PURPOSE),
        key=lambda item: (-item[0], str(item[1])),
    )
    (count, (column, rule)) = ranked[0]
    others = "".join(f"; {key[0] or 'row'}|{key[1]}: {n} rows" for n, key in ranked[1:4])
    raise ContractError(
        f"{origin}: {broken} of {rows_read} rows ({broken / rows_read:.1%}) break the contract of {contract.name}, more than "
        f"the limit of {limit:.1%}. Column {column or '(the whole line)'}, rule {rule}: {count} rows - "
        f"{message(contract, column, rule)}. For example: {'; '.join(counts.examples.get((column, rule), []))}{others}. "
        "Correct the export or the shop's mapping; inputs.quarantine_limit sets the limit. The table was left as it was."
    )


def shown(value: object) -> str:
    """A value as a message may show it: an e-mail address is personal wherever it stands, in an id as well."""
    text = repr(value) if isinstance(value, str) else str(value)
    if "@" in text:
        return MASK
    return text if len(text) <= SHORTEST else text[: SHORTEST - 3] + "..."


def _parts(rule: str) -> tuple[str | None, str]:
    column, bar, name = rule.rpartition("|")
    return (column, name) if bar else (None, rule)


def _rule_name(flag: Flag) -> str:
    return f"{flag.column}|{flag.rule}" if flag.column else flag.rule


def _place(contract: Contract, flag: Flag) -> tuple[int, int, int]:
    """Rows of erased people and rows left out come first, then the table's columns in order; what was found before the
    contract's own rules (an unreadable value) comes before them."""
    if flag.rule in ON_PURPOSE:
        return (0, ON_PURPOSE.index(flag.rule), 0)
    order = list(contract.columns)
    ours = 0 if len(flag.mask) else _FIRST.index(flag.rule) + 1 if flag.rule in _FIRST else len(_FIRST) + 1
    return (1, order.index(flag.column) if flag.column in order else len(order), ours)


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "a whole number"
    if dtype.is_numeric():
        return "a number"
    if dtype == pl.Boolean:
        return "yes or no"
    return "a date" if dtype == pl.Date else "a date and time"
