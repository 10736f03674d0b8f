"""Which ranking profile decides: promoted by evidence, kept without, and in the operator's hands."""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from policy_world import K, Shop, policy, rows, shop

from lifecycle_assets.models.policy_evaluation import PolicyEvaluation, policy_evaluation
from lifecycle_assets.models.policy_log import PolicyLog
from lifecycle_assets.settings import Routing

FIRST = dt.date(2024, 3, 1)
CUSTOMERS = 6000
TILT = np.array([0.5, 1.0, 0.6, 0.9, 0.8, 0.8])


@pytest.fixture(scope="module")
def world() -> Shop:
    return shop(CUSTOMERS, seed=4)


def routing(**given: object) -> Routing:
    return Routing.model_validate(given)


def decided(
    world: Shop, policies: Mapping[str, np.ndarray], by: str, nights: int, each: int, seed: int = 0
) -> pl.DataFrame:
    """So many nights under the policy `by`, of which each profile knows what it would have done."""
    rng = np.random.default_rng(seed)
    who = rng.choice(CUSTOMERS, nights * each)
    logs = world.logs(policies[by], tuple(policies.values()), who, rng)
    return rows(dict(zip(policies, logs, strict=True)), np.repeat(np.arange(nights), each), FIRST)


def night_by_night(log: pl.DataFrame, settings: Routing, nights: int, step: int = 1) -> list[pl.DataFrame]:
    """The tables of the nights, each after the one before it; decisions settle in a day here."""
    before, tables = None, []
    for night in range(0, nights + 1, step):
        as_of = FIRST + dt.timedelta(days=night)
        known = log.lazy().filter(pl.col("decided_on") < as_of)
        before = policy_evaluation(known, before, routing=settings, shop_id="s", as_of=as_of)
        PolicyEvaluation.require(before)
        tables.append(before)
    return tables


def in_force(table: pl.DataFrame) -> str:
    (name,) = table.filter("is_in_force")["policy"]
    return name


def test_a_better_profile_takes_over_once_and_stays(world: Shop) -> None:
    policies = {"balanced": policy(world.expected * TILT), "margin": policy(world.expected)}
    log = decided(world, policies, "balanced", nights=30, each=1000)
    tables = night_by_night(log, routing(), 30, step=3)
    names = [in_force(table) for table in tables]
    at = names.index("margin")
    assert 0 < at < len(names) - 1
    assert set(names[:at]) == {"balanced"}
    assert set(names[at:]) == {"margin"}
    night, after = (dict(zip(t["policy"], t.iter_rows(named=True), strict=True)) for t in tables[at : at + 2])
    assert night["margin"]["verdict"] == "promoted"
    assert night["margin"]["gain_lo"] > 0
    assert night["margin"]["effective_size"] >= 1000
    assert night["balanced"]["verdict"] == "stays out"
    assert night["balanced"]["note"] == "margin takes over."
    assert after["margin"]["verdict"] == "in force"
    assert after["balanced"]["gain"] < 0, "now the old one is compared with the new"
    truth = world.value(policies["margin"]) - world.value(policies["balanced"])
    assert night["margin"]["gain_lo"] < truth < night["margin"]["gain_hi"]


def test_a_worse_profile_stays_out(world: Shop) -> None:
    policies = {"balanced": policy(world.expected), "margin": policy(world.expected * TILT)}
    table = night_by_night(decided(world, policies, "balanced", 30, 1000), routing(), 30, step=5)[-1]
    row = table.row(by_predicate=pl.col("policy") == "margin", named=True)
    assert row["verdict"] == "stays out"
    assert row["gain_hi"] < 0
    assert in_force(table) == "balanced"


def test_the_better_of_two_better_ones_takes_over(world: Shop) -> None:
    policies = {
        "balanced": policy(-world.worth, share=1.0),
        "margin": policy(world.expected, share=1.0),
        "wise": policy(world.worth, share=1.0),
    }
    log = decided(world, policies, "balanced", 30, 1000)
    settings = routing(rankings={"wise": {"propensity": 2.0}})
    table = night_by_night(log, settings, 30, step=30)[-1]
    verdicts = dict(table.select("policy", "verdict").iter_rows())
    gains = dict(table.select("policy", "gain_lo").iter_rows())
    assert verdicts == {"balanced": "stays out", "margin": "stays out", "wise": "promoted"}
    assert gains["wise"] > gains["margin"] > 0


def test_too_few_effective_decisions_change_nothing(world: Shop) -> None:
    # The rival is far better: with so few decisions behind it that is still not taken for shown.
    log = decided(world, {"balanced": policy(-world.worth), "margin": policy(world.worth)}, "balanced", 4, 500)
    table = night_by_night(log, routing(), 4, step=4)[-1]
    row = table.row(by_predicate=pl.col("policy") == "margin", named=True)
    assert row["effective_size"] < 1000
    assert row["verdict"] == "not enough evidence"
    assert "effective decisions; 1,000 are needed" in row["note"]
    assert in_force(table) == "balanced"


def test_rare_disagreement_is_no_evidence_however_sure_it_looks() -> None:
    # In one of 200 decisions the rival saves the cost of a dear message, of whose rare orders none has come yet.
    customers = 5000
    nothing = np.zeros((customers, 2))
    unlucky = Shop(order=nothing, earns=nothing, cost=np.array([4.0, 0.0]), expected=nothing)
    balanced = np.tile([0.95, 0.05], (customers, 1))
    margin = np.where(np.arange(customers)[:, None] % 200 == 0, [0.05, 0.95], balanced)
    logs = unlucky.logs(balanced, (balanced, margin), np.arange(customers), np.random.default_rng(0))
    log = rows(dict(zip(("balanced", "margin"), logs, strict=True)), np.zeros(customers, int), FIRST)
    table = night_by_night(log, routing(), 1)[-1]
    row = table.row(by_predicate=pl.col("policy") == "margin", named=True)
    assert row["gain"] > 0
    assert row["disagreeing"] == pytest.approx(0.9 * customers / 200, rel=0.3)
    assert row["verdict"] == "not enough evidence"
    assert "decisions on which the two differ" in row["note"]


def test_a_log_without_chance_is_no_evidence(world: Shop) -> None:
    best = np.eye(K)[world.expected.argmax(axis=1)]
    other = np.eye(K)[(world.expected * TILT).argmax(axis=1)]
    log = decided(world, {"balanced": best, "margin": other}, "balanced", 10, 500)
    differs = pl.col("decision_id").is_in(log.filter(pl.col("weight") == 0)["decision_id"].implode())
    log = log.with_columns(is_supported=~(differs & (pl.col("policy") == "margin")))
    table = night_by_night(log, routing(), 10, step=10)[-1]
    row = table.row(by_predicate=pl.col("policy") == "margin", named=True)
    assert row["verdict"] == "not enough evidence"
    assert row["n_unsupported"] == log.filter(~pl.col("is_supported")).height > 0
    assert f"{row['n_unsupported']} more with arms that had no chance" in row["note"]
    assert row["gain"] == pytest.approx(0), "what is left are the decisions on which they agree"


def test_the_operator_has_the_last_word(world: Shop) -> None:
    policies = {"balanced": policy(-world.worth, 1.0), "margin": policy(world.worth, 1.0)}
    log = decided(world, policies, "balanced", 20, 1000).lazy()
    kept = night_by_night(log.collect(), routing(), 20, step=20)[-1]
    assert in_force(kept) == "margin"
    after = FIRST + dt.timedelta(days=21)
    none = PolicyLog.empty().lazy()

    def tonight(settings: Routing) -> pl.DataFrame:
        return policy_evaluation(none, kept, routing=settings, shop_id="s", as_of=after)

    assert in_force(tonight(routing())) == "margin", "nothing changed"
    third = {"calm": {"uplift": 2.0}}
    assert in_force(tonight(routing(rankings=third))) == "margin", "one more profile"
    assert in_force(tonight(routing(rankings=third, ranking="calm"))) == "calm", "another one configured"
    changed = tonight(routing(rankings={"margin": {"impact": 3.0}}))
    assert in_force(changed) == "balanced", "what was promoted is no longer what it was"
    assert dict(changed.select("policy", "since").iter_rows()) == {"balanced": FIRST, "margin": after}


def test_without_decisions_all_stays_as_configured() -> None:
    table = policy_evaluation(
        PolicyLog.empty().lazy(), None, routing=routing(ranking="margin"), shop_id="s", as_of=FIRST
    )
    PolicyEvaluation.require(table)
    assert table.select("policy", "is_in_force", "verdict", "note").rows() == [
        ("balanced", False, "not enough evidence", "No logged decision with a settled outcome."),
        ("margin", True, "in force", "No logged decision with a settled outcome."),
    ]


def test_the_order_of_rows_means_nothing(world: Shop) -> None:
    policies = {"balanced": policy(world.expected * TILT), "margin": policy(world.expected)}
    log = decided(world, policies, "balanced", 5, 600)
    tables = [
        night_by_night(frame, routing(), 5, step=5)[-1] for frame in (log, log.sample(fraction=1, shuffle=True, seed=1))
    ]
    assert tables[0].equals(tables[1])
