"""Rules over the profile: a field, an operator and a value, nested with all, any and not. Data, never code."""

import datetime as dt
import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from lifecycle_assets.settings.base import Group

Scalar = bool | int | float | str | dt.date
Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "between", "is_null"]


class Condition(Group):
    """A field of the profile held against a value. A field without a value (null) fulfils `is_null` and nothing else."""

    field: str
    op: Operator
    value: Scalar | tuple[Scalar, ...] = True

    def problem(self, fields: Mapping[str, str]) -> str | None:
        """What is wrong with it, given the kind of every known field; None when all is well."""
        if self.field not in fields:
            near = difflib.get_close_matches(self.field, fields, n=1, cutoff=0)
            return f"no profile field '{self.field}'" + (f"; did you mean {near[0]}?" if near else "")
        kind = "flag" if self.op == "is_null" else fields[self.field]
        if self.op in ("<", "<=", ">", ">=", "between") and kind not in ("number", "date"):
            return f"'{self.op}' compares numbers and dates, and {self.field} is a {kind}"
        values: tuple[Scalar, ...]
        if self.op in ("in", "between"):
            if not isinstance(self.value, tuple) or (self.op == "between" and len(self.value) != 2):
                return f"'{self.op}' takes a list{' of two values' if self.op == 'between' else ''}, got {self.value!r}"
            values = self.value
        elif isinstance(self.value, tuple):
            return f"'{self.op}' takes one value, got {self.value!r}"
        else:
            values = (self.value,)
        wrong = [value for value in values if not _is_a(kind, value)]
        return f"{self.field} is a {kind}, and {wrong[0]!r} is none" if wrong else None


class AllOf(Group):
    rules: tuple["Rule", ...] = Field(alias="all", min_length=1)


class AnyOf(Group):
    rules: tuple["Rule", ...] = Field(alias="any", min_length=1)


class Not(Group):
    rule: "Rule" = Field(alias="not")


def _form_of_rule(value: Any) -> str | None:
    names = {AllOf: "all", AnyOf: "any", Not: "not", Condition: "field"}
    if isinstance(value, Group):
        return names.get(type(value))
    return next((name for name in names.values() if isinstance(value, dict) and name in value), None)


Rule = Annotated[
    Annotated[AllOf, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[Not, Tag("not")]
    | Annotated[Condition, Tag("field")],
    Discriminator(
        _form_of_rule,
        custom_error_type="rule",
        custom_error_message="a rule is {field, op, value}, or {all: [rules]}, {any: [rules]}, {not: rule}",
    ),
]


def _is_a(kind: str, value: Scalar | tuple[Scalar, ...]) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, {"text": str, "flag": bool, "date": dt.date}[kind])


def rule_problems(rule: Rule, fields: Mapping[str, str], place: str) -> Iterator[str]:
    if isinstance(rule, Condition):
        if problem := rule.problem(fields):
            yield f"{place}: {problem}"
    elif isinstance(rule, Not):
        yield from rule_problems(rule.rule, fields, f"{place}.not")
    else:
        form = "all" if isinstance(rule, AllOf) else "any"
        for position, inner in enumerate(rule.rules):
            yield from rule_problems(inner, fields, f"{place}.{form}[{position}]")
