"""Rules over the profile: a field, an operator and a value, nested with all, any and not. Data, never code."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from lifecycle_assets.settings.base import Group, nearest
from lifecycle_assets.settings.profile_fields import VALUES

Scalar = bool | int | float | str | dt.date
Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "between", "is_null"]


def _plain(value: Any) -> Any:
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(one, Scalar) for one in values):
        raise ValueError("a value is a number, a text, true, false or a date, or a list of such")
    return value


class Condition(Group):
    """A field of the profile held against a value. A field without a value (null) fulfils `is_null` and nothing else."""

    field: str
    op: Operator
    value: Annotated[Scalar | tuple[Scalar, ...], BeforeValidator(_plain)] = True

    def problem(self, fields: Mapping[str, str]) -> str | None:
        """What is wrong with it, given the kind of every known field; None when all is well."""
        if self.field not in fields:
            return f"no profile field '{self.field}'{nearest(self.field, fields)}"
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
        return _wrong_value(self.field, kind, values)


class AllOf(Group):
    rules: tuple["Rule", ...] = Field(alias="all", min_length=1)


class AnyOf(Group):
    rules: tuple["Rule", ...] = Field(alias="any", min_length=1)


class Not(Group):
    rule: "Rule" = Field(alias="not")


def _form_of_rule(value: Any) -> str | None:
    if isinstance(value, Group):
        return type(value).__name__
    forms = {"all": "AllOf", "any": "AnyOf", "not": "Not", "field": "Condition"}
    return next((form for name, form in forms.items() if isinstance(value, dict) and name in value), None)


# The tags stand in the places of problems: as class names they differ from all that is written in a file (see reading).
Rule = Annotated[
    Annotated[AllOf, Tag("AllOf")]
    | Annotated[AnyOf, Tag("AnyOf")]
    | Annotated[Not, Tag("Not")]
    | Annotated[Condition, Tag("Condition")],
    Discriminator(
        _form_of_rule,
        custom_error_type="rule",
        custom_error_message="a rule is {field, op, value}, or {all: [rules]}, {any: [rules]}, {not: rule}",
    ),
]


for form in (AllOf, AnyOf, Not):
    form.model_rebuild()


def _is_a(kind: str, value: Scalar | tuple[Scalar, ...]) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, {"text": str, "flag": bool, "date": dt.date}[kind])


def _wrong_value(field: str, kind: str, values: tuple[Scalar, ...]) -> str | None:
    known = VALUES.get(field) if kind == "text" else None
    for value in values:
        if not _is_a(kind, value):
            return f"{field} is a {kind}, and {value!r} is none"
        if known and value not in known:
            return f"{field} is never {value!r}{nearest(str(value), known)}"
    return None


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
