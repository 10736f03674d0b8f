"""Rules of the configuration: what they mean, and what is wrong with them."""

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from lifecycle_assets.dispatch import gathering, rules
from lifecycle_assets.dispatch.model_fields import model_fields
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.settings import Rule, Shop, parse, profile_fields
from lifecycle_assets.settings.shipped import PROGRAMMES

FIVE_LINES = "name: x\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /x\n"
RULE: TypeAdapter[Any] = TypeAdapter(Rule)
FRAME = pl.DataFrame(
    {
        "visit_frequency": [1.0, 3.0, None],
        "stage": ["new", "lapsed", None],
        "stage_since": [dt.date(2024, 2, 29), None, None],
    }
)


def answers(rule: dict[str, Any]) -> list[bool]:
    return FRAME.select(rules.expression(RULE.validate_python(rule), {})).to_series().to_list()


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("==", 3, [False, True, False]),
        ("!=", 3, [True, False, False]),
        ("<", 3, [True, False, False]),
        ("<=", 3, [True, True, False]),
        (">", 1, [False, True, False]),
        (">=", 1, [True, True, False]),
        ("in", [1, 7], [True, False, False]),
        ("between", [1, 3], [True, True, False]),
        ("is_null", True, [False, False, True]),
        ("is_null", False, [True, True, False]),
    ],
)
def test_every_operator_and_a_null_that_fulfils_none_but_is_null(op: str, value: object, expected: list[bool]) -> None:
    assert answers({"field": "visit_frequency", "op": op, "value": value}) == expected


def test_rules_nest_and_not_turns_a_null_around() -> None:
    lapsed = {"field": "stage", "op": "==", "value": "lapsed"}
    often = {"field": "visit_frequency", "op": ">=", "value": 3}
    since = {"field": "stage_since", "op": "<=", "value": dt.date(2024, 2, 29)}
    assert answers({"not": lapsed}) == [True, False, True]
    assert answers({"all": [lapsed, often]}) == [False, True, False]
    assert answers({"any": [since, {"all": [lapsed, {"not": often}]}]}) == [True, False, False]


def test_the_list_of_fields_is_what_the_tables_hold() -> None:
    empty = {contract.name: contract.empty().lazy() for contract in gathering.READS}
    tables = model_fields(empty, as_of=dt.date(2025, 3, 1), timezone="Europe/Madrid")
    kinds = {
        "number": ("Decimal", "Float64", "Int64", "UInt32"),
        "text": ("String",),
        "flag": ("Boolean",),
        "date": ("Date",),
    }
    for table, columns in profile_fields.SOURCES.items():
        schema = tables[table].collect_schema()
        for column, kind in columns.items():
            dtype = schema[column]
            assert type(dtype).__name__ in kinds[kind] or dtype in kinds[kind], (table, column, dtype)


def test_the_words_of_a_field_are_those_of_its_table() -> None:
    tables = {contract.name: contract for contract in gathering.READS}
    columns = {"buy_tier": "propensity_tier", "upgrade_tier": "propensity_tier"}
    words = {}
    for table, kinds in profile_fields.SOURCES.items():
        for name in (name for name, kind in kinds.items() if kind == "text"):
            description = tables[table].columns[columns.get(name, name)].description or ""
            _, listed, values = description.partition("One of: ")
            if listed:
                words[profile_fields.RENAMED.get(name, name)] = tuple(values.removesuffix(".").split(", "))
    assert words == profile_fields.VALUES


RULES = st.recursive(
    st.builds(
        lambda op, value: {"field": "visit_frequency", "op": op, "value": value},
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        st.integers(0, 4),
    ),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=8,
)


@given(RULES, st.one_of(st.none(), st.integers(0, 4)))
def test_a_compiled_rule_agrees_with_reading_it_row_by_row(rule: dict[str, Any], value: int | None) -> None:
    def read(part: dict[str, Any]) -> bool:
        if "all" in part:
            return all(read(inner) for inner in part["all"])
        if "any" in part:
            return any(read(inner) for inner in part["any"])
        if "not" in part:
            return not read(part["not"])
        comparisons = {
            "==": int.__eq__, "!=": int.__ne__, "<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__
        }  # fmt: skip
        return value is not None and comparisons[part["op"]](value, part["value"])

    frame = pl.DataFrame({"visit_frequency": pl.Series([value], dtype=pl.Float64)})
    assert frame.select(rules.expression(RULE.validate_python(rule), {})).item() == read(rule)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (
            'programmes: {winback: {when: {all: [{field: visit_freqency, op: ">=", value: 3}]}}}',
            ["programme winback: when.all[0]", "'visit_freqency'", "did you mean visit_frequency"],
        ),
        (
            'programmes: {winback: {when: {not: {any: [{field: stage, op: "<", value: lapsed}]}}}}',
            ["programme winback: when.not.any[0]", "stage is a text"],
        ),
        (
            "programmes: {winback: {when: {field: stage, op: ==, value: lapsd}}}",
            ["programme winback: when: stage is never 'lapsd'; did you mean lapsed?"],
        ),
        (
            "computed: {is_top: {field: rfm_tier, op: in, value: [Champion, Best]}}",
            ["computed is_top: rfm_tier is never 'Best'; there are: Champion, Loyal"],
        ),
        (
            "offers: {winback_10: {when: {field: purchase_total, op: in, value: [10, many]}}}",
            ["offer winback_10: when", "purchase_total is a number", "'many'"],
        ),
        ("offers: {winback_10: {when: {field: stage, op: between, value: [1]}}}", ["offer winback_10", "between"]),
        ("programmes: {winback: {recoverable: {field: is_cold, op: ==, value: 1}}}", ["winback: recoverable", "flag"]),
        ('computed: {is_big: {field: spend, op: ">", value: 1}}', ["computed is_big", "no profile field 'spend'"]),
        ("programmes: {winback: {when: {field: stage, op: like, value: x}}}", ["winback.when", "between"]),
        ("programmes: {winback: {when: {every: []}}}", ["winback.when", "a rule is {field, op, value}"]),
        ("programmes: {winback: {when: {field: stage, op: ==, value: x, then: y}}}", ["then: no such setting"]),
        ("programmes: {winback: {experiment: wimback}}", ["no experiment 'wimback'", "did you mean winback"]),
        ("programmes: {winback: {conflicts_with: [welcom]}}", ["no programme 'welcom'", "did you mean welcome"]),
        (
            "programmes: {welcome: {steps: [{channels: [email], offers: [welcome_helo], response_rate: 0.1}]}}",
            ["programme welcome, step 1", "welcome_helo", "did you mean welcome_hello"],
        ),
        (
            "programmes: {welcome: {steps: [{channels: [email], offers: [welcome_hello], response_rate: 0.1, "
            "response_rates: {sms: 0.2}}]}}",
            ["programme welcome, step 1", "response_rates of sms"],
        ),
        ("programmes: {welcome: {trigger: abandoned}}", ["programmes.welcome.trigger", "'abandoned_cart'"]),
        ("programmes: {welcome: {delay_hours: 1}}", ["programme welcome", "has none"]),
        (
            "programmes: {birthday: {when: {field: birthday_hours, op: ==, value: soon}}}",
            ["programme birthday", "'soon'"],
        ),
        ("channels: {whatsapp: {enabled: true}}", ["channel whatsapp", "approved_templates"]),
        (
            "channels: {whatsapp: {approved_templates: {winbak: hello_1}}}",
            ["channel whatsapp", "'winbak'", "did you mean winback"],
        ),
        ("offers: {winback_10: {when: {field: stage, op: ==, value: [new, lapsed]}}}", ["'==' takes one value"]),
        ("assume_consent: [sms]", ["sms needs explicit consent"]),
        ("channels: {sms: {enabeld: true}}", ["routing.channels.sms.enabeld", "did you mean enabled"]),
    ],
)
def test_a_broken_rule_is_an_error_at_load_that_says_where(extra: str, expected: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        parse(Shop, FIVE_LINES + "routing: {" + extra + "}", "shops/lupe.yaml")
    message = str(error.value)
    assert all(part in message for part in ["shops/lupe.yaml", *expected]), message


def test_a_shops_file_is_laid_over_what_ships() -> None:
    extra = "routing: {channels: {sms: {enabled: true}}, programmes: {welcome: {enabled: false}}}"
    routing = parse(Shop, FIVE_LINES + extra, "x", ["routing.channels.email.send_hour=7"]).routing
    assert routing.channels["sms"].enabled
    assert routing.channels["sms"].explicit_consent
    assert routing.channels["email"].send_hour == 7
    assert not routing.programmes["welcome"].enabled
    assert routing.programmes["winback"].enabled
    assert routing.assume_consent == ()


def test_only_the_fields_that_rules_name_are_read() -> None:
    off = [f"routing.programmes.{name}.enabled=false" for name in PROGRAMMES if name != "cold_winback"]
    routing = parse(Shop, FIVE_LINES, "x", off).routing
    computed = {"visit_frequency", "purchase_total", "stage", "clv_tier", "rfm_tier", "clv_potential_tier"}
    assert rules.named_fields(routing) == {"stage", "recency_days", *computed}
    assert "risk_band" in rules.named_fields(parse(Shop, FIVE_LINES, "x").routing)
