"""Who qualifies: the rules of the configuration as set operations over the profile.

A rule is a condition (field, operator, value) or all/any/not of rules. The settings have checked fields and types already;
here a rule becomes one polars expression, so that a million customers are judged in one pass. Nothing is evaluated as code.

A field without a value fulfils `is_null` and no other condition; `not` turns that around like any other answer.
"""

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from lifecycle_assets.settings import AllOf, Condition, Not, Routing, Rule, Scalar, profile_fields


def expression(rule: Rule, computed: Mapping[str, Rule]) -> pl.Expr:
    """The rule as a true-or-false expression over the profile's columns; never null."""
    if isinstance(rule, Condition):
        if rule.field in computed:
            return _compare(expression(computed[rule.field], {}), rule)
        return _compare(pl.col(profile_fields.ALIASES.get(rule.field, rule.field)), rule)
    if isinstance(rule, Not):
        return ~expression(rule.rule, computed)
    inner = [expression(part, computed) for part in rule.rules]
    return pl.all_horizontal(inner) if isinstance(rule, AllOf) else pl.any_horizontal(inner)


def named_fields(routing: Routing) -> set[str]:
    """The profile columns that any rule of what is enabled names, so that no others need to be read."""
    rules = list(routing.computed.values())
    rules += [offer.when for offer in routing.offers.values() if offer.when]
    for programme in routing.programmes.values():
        if not programme.enabled:
            continue
        rules.append(programme.when)
        rules += [rule for rule in (programme.recoverable, *(step.when for step in programme.steps)) if rule]
    return fields_of(rules) - set(routing.computed)


def fields_of(rules: Iterable[Rule]) -> set[str]:
    """The profile columns, and the computed fields, that the rules name."""
    return {profile_fields.ALIASES.get(name, name) for rule in rules for name in _names(rule)}


def _names(rule: Rule) -> Iterator[str]:
    if isinstance(rule, Condition):
        yield rule.field
    else:
        for part in (rule.rule,) if isinstance(rule, Not) else rule.rules:
            yield from _names(part)


def _compare(field: pl.Expr, condition: Condition) -> pl.Expr:
    given = condition.value
    values = [_plain(value) for value in (given if isinstance(given, tuple) else (given,))]
    match condition.op:
        case "==":
            answer = field == pl.lit(values[0])
        case "!=":
            answer = field != pl.lit(values[0])
        case "<":
            answer = field < pl.lit(values[0])
        case "<=":
            answer = field <= pl.lit(values[0])
        case ">":
            answer = field > pl.lit(values[0])
        case ">=":
            answer = field >= pl.lit(values[0])
        case "in":
            answer = field.is_in(values)
        case "between":
            answer = field.is_between(pl.lit(values[0]), pl.lit(values[1]))
        case "is_null":
            return field.is_null() if given else field.is_not_null()
    return answer.fill_null(value=False)


def _plain(value: Scalar) -> Scalar:
    """The numbers of a profile are floats; so are those they are held against."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
