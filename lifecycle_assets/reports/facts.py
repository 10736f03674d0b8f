"""The numbers behind a report: each with an id, a unit, how many rows it rests on, and what it is compared with.

Text and charts take every number from here, so that nothing can be said that is not in the tables. A comparison carries
a verdict: `rising` or `falling` only when its 95 % interval leaves zero out, `flat` when it does not, `few` when too few
customers or too short a history stand behind it to tell, `none` when the data does not reach back far enough.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

Value = int | float | Decimal | str | dt.date | dt.time | None
Verdict = Literal["rising", "falling", "flat", "few", "none"]
Row = dict[str, Any]
BOUNDS = ("lo", "hi")


@dataclass(frozen=True)
class Comparison:
    """A number held against an earlier one: `change` is relative (0.1 = 10 % more), `lo` and `hi` bound it at 95 %."""

    value: Value
    difference: Value
    verdict: Verdict
    change: float | None = None
    lo: float | None = None
    hi: float | None = None


@dataclass(frozen=True)
class Fact:
    """One number. `unit` is `currency`, `share`, `date`, `month`, `time`, `ratio` or what is counted; `n` the rows behind it;
    `lo` and `hi` bound it where it is an estimate (95 % unless the fact's own module says otherwise), in its own unit."""

    id: str
    value: Value
    unit: str
    n: int | None = None
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    lo: Value = None
    hi: Value = None


class Facts:
    """Numbers by id, and the small tables that charts draw. A path is an id, `id/lo` or `id/hi` for its bounds, or
    `id/comparison/part`, e.g. `sales.30d.revenue/before/change`. Raises ValueError for an id that comes twice."""

    def __init__(self, facts: Iterable[Fact], tables: Mapping[str, list[Row]] | None = None) -> None:
        self.facts: dict[str, Fact] = {}
        for fact in facts:
            if fact.id in self.facts:
                raise ValueError(f"fact {fact.id} comes twice")
            self.facts[fact.id] = fact
        self.tables = dict(tables or {})

    def __or__(self, other: "Facts") -> "Facts":
        return Facts([*self.facts.values(), *other.facts.values()], {**self.tables, **other.tables})

    def __contains__(self, path: str) -> bool:
        fact, comparison, _ = self._parts(path)
        if fact not in self.facts or not comparison:
            return fact in self.facts
        known = self.facts[fact]
        return getattr(known, comparison) is not None if comparison in BOUNDS else comparison in known.comparisons

    def value(self, path: str) -> Value:
        """The number at a path; raises KeyError when there is none."""
        name, comparison, piece = self._parts(path)
        fact = self.facts[name]
        if comparison in BOUNDS:
            return getattr(fact, comparison)
        return getattr(fact.comparisons[comparison], piece or "value") if comparison else fact.value

    def unit(self, path: str) -> str:
        name, _, piece = self._parts(path)
        return "share" if piece in {"change", *BOUNDS} else self.facts[name].unit

    def verdict(self, fact: str, comparison: str = "before") -> Verdict:
        compared = self.facts[fact].comparisons.get(comparison)
        return compared.verdict if compared else "none"

    def _parts(self, path: str) -> tuple[str, str, str]:
        """Fact, comparison and its part; an id may hold a slash itself where it names something of the shop's."""
        for pieces in (1, 2):
            name, *rest = path.rsplit("/", pieces)
            if path not in self.facts and name in self.facts:
                return name, rest[0], rest[1] if len(rest) > 1 else ""
        return path, "", ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return {
            "facts": [
                {
                    "id": fact.id,
                    "value": plain(fact.value),
                    "unit": fact.unit,
                    "n": fact.n,
                    "lo": plain(fact.lo),
                    "hi": plain(fact.hi),
                    "comparisons": {
                        name: {part: plain(value) for part, value in vars(comparison).items()}
                        for name, comparison in fact.comparisons.items()
                    },
                }
                for fact in self.facts.values()
            ],
            "tables": {
                name: [{column: plain(value) for column, value in row.items()} for row in rows]
                for name, rows in self.tables.items()
            },
        }


def plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return value


def part(value: Any, whole: Any) -> float | None:
    """value / whole as a share, null when there is no whole to speak of."""
    return round(float(value) / float(whole), 6) if whole and whole > 0 else None
