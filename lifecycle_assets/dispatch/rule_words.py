"""A rule in words, with what the customer's profile holds against each condition.

Where a rule does not hold only the conditions to blame are told, where it holds those that make it so. Conditions on the same
field are told together; a computed field is told as what it comes to, with the conditions behind it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from lifecycle_assets.dispatch import rules
from lifecycle_assets.settings import AllOf, Condition, Not, Routing, Rule, profile_fields
from lifecycle_assets.settings.rules import AnyOf

OPERATORS = {
    "==": "",
    "!=": "other than ",
    "<": "below ",
    "<=": "at most ",
    ">": "above ",
    ">=": "at least ",
    "in": "one of ",
    "between": "between ",
}


def rule_words(rule: Rule, profile: pl.DataFrame, routing: Routing, *, negated: bool = False) -> str:
    """The conditions of a rule (of its opposite where `negated`) beside the values in `profile`, the customer's row of
    profile.profiles."""
    if isinstance(rule, Not):
        return rule_words(rule.rule, profile, routing, negated=not negated)
    if isinstance(rule, Condition):
        return _condition_words([rule], "", profile, routing, negated=negated)
    needs_all = isinstance(rule, AllOf) != negated
    parts = list(_flat(rule))
    held = [part for part in parts if holds(part, profile, routing) != negated]
    failed = [part for part in parts if part not in held]
    telling = (failed or held) if needs_all else (held or failed)
    joint = " and " if needs_all else " or "
    fields = _by_field([part for part in telling if isinstance(part, Condition)])
    words = [_condition_words(conditions, joint, profile, routing, negated=negated) for conditions in fields]
    for part in telling:
        if not isinstance(part, Condition):
            told = rule_words(part, profile, routing, negated=negated)
            words.append(f"({told})" if len(telling) > 1 and _is_group(part) else told)
    return joint.join(words)


def holds(rule: Rule, profile: pl.DataFrame, routing: Routing) -> bool:
    """Whether the customer fulfils the rule."""
    return bool(profile.select(rules.expression(rule, routing.computed)).item())


def plain(value: Any) -> str:
    """A value of the profile or of a rule; numbers with no more decimals than tell something."""
    if value is None:
        return "unknown"
    if not isinstance(value, float):
        return str(value)
    return (f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}").rstrip("0").rstrip(".")


def _flat(rule: AllOf | AnyOf) -> Iterator[Rule]:
    """The parts, those of a part of the same kind instead of that part."""
    for part in rule.rules:
        if isinstance(part, AllOf | AnyOf) and type(part) is type(rule):
            yield from _flat(part)
        else:
            yield part


def _is_group(rule: Rule) -> bool:
    return _is_group(rule.rule) if isinstance(rule, Not) else not isinstance(rule, Condition)


def _by_field(conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Those on the same field together, in the order in which the fields come."""
    fields: dict[str, list[Condition]] = {}
    for condition in conditions:
        fields.setdefault(profile_fields.ALIASES.get(condition.field, condition.field), []).append(condition)
    return list(fields.values())


def _condition_words(
    conditions: Sequence[Condition], joint: str, profile: pl.DataFrame, routing: Routing, *, negated: bool
) -> str:
    """Conditions on one field, which `joint` binds together."""
    name = conditions[0].field
    behind = routing.computed.get(name)
    value = (
        holds(behind, profile, routing) if behind else profile.get_column(profile_fields.ALIASES.get(name, name)).item()
    )
    asked = joint.join(dict.fromkeys(_asked(one, negated=negated) for one in conditions))
    found = f"{_verb(name)}{_state(name, value) if isinstance(value, bool) else plain(value)} (asked for: {asked})"
    return f"{found} [since {rule_words(behind, profile, routing)}]" if behind else found


def _asked(condition: Condition, *, negated: bool) -> str:
    given = condition.value
    if condition.op == "is_null":
        return "unknown" if given != negated else "known"
    if isinstance(given, bool):
        return _state(condition.field, given ^ (condition.op == "!=") ^ negated)
    values = given if isinstance(given, tuple) else (given,)
    wanted = (" and " if condition.op == "between" else ", ").join(plain(one) for one in values)
    return f"{'not ' if negated else ''}{OPERATORS[condition.op]}{wanted}"


def _verb(name: str) -> str:
    """What comes before the value: "stage is ", and of a flag that is named like one "is "."""
    return "is " if name.startswith("is_") else f"{name.replace('_', ' ')} is "


def _state(name: str, value: bool) -> str:
    """A flag's value in words: "premium" or "not premium", of other names "true" or "false"."""
    if name.startswith("is_"):
        return f"{'' if value else 'not '}{name.removeprefix('is_').replace('_', ' ')}"
    return str(value).lower()
