"""What the models know changes what is sent, to whom, with which chance: by hand on a few customers, by count on many."""

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, NEW, World, table

from lifecycle_assets.dispatch import decisions as deciding
from lifecycle_assets.dispatch.knowledge import READS, Knowledge, caused_by_campaigns, nothing_known
from lifecycle_assets.dispatch.profile import profiles
from lifecycle_assets.dispatch.trace import models

CONTRACTS = {contract.table: contract for contract in READS}
# Winback on three channels with two offers, without the gates that would tell the customers apart.
THREE = """
routing:
  assume_consent: [email, push, in_app]
  channels: {push: {enabled: true}, in_app: {enabled: true}}
  offers:
    ten: {name: Ten, content_type: winback, discount_pct: 10, priority: 6}
    word: {name: A word, content_type: winback_personal, priority: 6}
  programmes:
    winback: {steps: [{channels: [email, push, in_app], offers: [ten, word], response_rate: 0.02}]}
"""
UPLIFT = {"candidate": "t", "chosen": True, "is_used": True}


def knowledge(**rows: list[dict[str, Any]]) -> Knowledge:
    """The models' tables with these rows, by short name."""
    return replace(nothing_known(), **{name: table(CONTRACTS[name], given).lazy() for name, given in rows.items()})


def decide(world: World, known: Knowledge | None = None) -> pl.DataFrame:
    decided = deciding.decide(
        profiles(world.sources(), as_of=AS_OF, shop=world.shop),
        shop_id="lupe",
        as_of=AS_OF,
        shop=world.shop,
        used={},
        knowledge=known,
    )
    deciding.Decisions.require(decided)
    return decided


def channel(customer: str, name: str, **more: Any) -> dict[str, Any]:
    shop = {"shop_rate": 0.05, "shop_sent": 1000, "order_rate": 0.4, "unsubscribe_rate": 0.001}
    return {"customer_id": customer, "channel": name, "alpha": 2.0, "beta": 18.0, "mean": 0.1, **shop, **more}


def content(customer: str, name: str, **more: Any) -> dict[str, Any]:
    return {"customer_id": customer, "content_type": name, "multiplier": 1.0, "multiplier_sd": 0.1, **more}


def crowd(n: int = 400, **more: Any) -> World:
    people = {f"c{number:04d}": {**LAPSED, "avg_ticket": 40.0 + number % 7} for number in range(n)}
    return World(people, yaml=THREE, explores=True, **more)


def posteriors(world: World) -> Knowledge:
    """Different response on each channel, known of some customers more than of others."""
    rng = np.random.default_rng(2)
    rows = [
        channel(customer, name, alpha=(a := 1 + 8 * rng.random()), beta=(b := 40 * rng.random()), mean=a / (a + b))
        for customer in world.people
        for name in ("email", "push", "in_app")
    ]
    return knowledge(channel_posteriors=rows)


def traces(decided: pl.DataFrame) -> list[dict[str, Any]]:
    return [json.loads(text) for text in decided["trace"]]


def test_the_expected_value_is_put_together_from_what_is_known() -> None:
    world = World({"ana": LAPSED | {"segment": "Loyal"}, "bea": LAPSED})
    decided = decide(
        world,
        knowledge(
            channel_posteriors=[channel("ana", "email")],
            nba_scores=[content("ana", "winback", multiplier=1.5, n_sent=900)],
            discount_posteriors=[
                {"level": "segment", "unit": "Loyal", "tier": 10.0, "lift": 1.2, "multiplier_sd": 0.1},
                {"level": "customer", "unit": "bea", "tier": 10.0, "lift": 0.5, "multiplier_sd": 0.1},
            ],
        ),
    )
    # The step's .02, held for 200 messages, and the shop's 1000 * .05 * .4 orders of 1000 messages: .02. Twice the shop's
    # response on the channel, half more to the content, a fifth more at the tier. The 4 orders of the step are all caused, of
    # the shop's 20 every other one. One of 1000 leaves, who is worth 24.
    ana, bea = decided.to_dicts()
    assert ana["score_propensity"] == pytest.approx(0.02 * 2 * 1.5 * 1.2)
    assert float(ana["expected_value"]) == pytest.approx(0.072 * (14 / 24 * 24 - 8) - 0.001 - 0.024, abs=1e-4)
    assert bea["score_propensity"] == pytest.approx(0.02 * 0.5)
    value = json.loads(ana["trace"])["gates"]["value"]
    assert value["base_rate"] == pytest.approx(0.02)
    assert (value["channel_factor"], value["content_factor"], value["tier_factor"]) == (2, 1.5, 1.2)
    assert (value["channel_rate"], value["unsubscribe_cost"]) == (0.1, 0.024)
    assert json.loads(ana["trace"])["models"] == {
        "posteriors": str(AS_OF), "uplift_campaign": None, "ranking": "balanced"
    }  # fmt: skip


def test_the_trace_names_the_models_in_force_that_decisions_read() -> None:
    stored = [
        ("churn_risk", 1, False),
        ("churn_risk", 2, True),
        ("propensity_upgrade", 1, True),
        ("visitor_buy", 5, True),
    ]
    names = ("model", "version", "is_champion")
    known = knowledge(registry=[dict(zip(names, one, strict=True)) for one in stored])
    made_with = models(decide(World({"ana": LAPSED}), known).lazy())
    assert made_with == {
        "churn_risk": 2, "propensity_upgrade": 1, "posteriors": None, "uplift_campaign": None, "ranking": "balanced"
    }  # fmt: skip
    assert models(decide(World({}), known).lazy()) == {}


def test_what_other_contents_brought_counts_for_no_more_than_the_prior() -> None:
    world = World({"ana": LAPSED})
    rates = []
    for sent in (0, 300, 5000):
        rows = [content("ana", "winback", n_sent=sent), content("ana", "news", n_sent=9000)]
        told = [channel("ana", "email", mean=0.05, order_rate=0.2, shop_sent=10_000)]
        rates.append(decide(world, knowledge(channel_posteriors=told, nba_scores=rows))["score_propensity"].item())
    # The step's .02 for 200 messages and the shop's .01 for 200 of other contents and those of its own.
    assert rates == pytest.approx([(4 + 2) / 400, (4 + 5) / 700, (4 + 52) / 5400])


def test_a_customers_own_tier_counts_before_the_segments() -> None:
    tiers = [
        {"level": "segment", "unit": "Loyal", "tier": 10.0, "lift": 1.2, "multiplier_sd": 0.1},
        {"level": "customer", "unit": "ana", "tier": 10.0, "lift": 1.4, "multiplier_sd": 0.1},
    ]
    decided = decide(World({"ana": LAPSED | {"segment": "Loyal"}}), knowledge(discount_posteriors=tiers))
    assert decided["score_propensity"].item() == pytest.approx(0.02 * 1.4)


def test_uplift_of_the_best_campaign_in_use_pushes_up_and_down() -> None:
    names = ("dog", "lost", "moved", "sure", "unknown")
    effects = {"dog": -0.02, "lost": 0.0, "moved": 0.06, "sure": 0.02}
    of_c = {"campaign_id": "c", "is_used": True, "baseline_response": 0.02}
    scores = [
        {"customer_id": name, "cate": cate, "uplift_segment": "sleeping_dog" if cate < 0 else "persuadable", **of_c}
        for name, cate in effects.items()
    ]
    noise = [
        {**row, "campaign_id": other, "cate": 0.5, "is_used": other == "a"} for row in scores for other in ("a", "b")
    ]
    campaigns = [
        {**UPLIFT, "campaign_id": "a", "qini": 0.01},
        {**UPLIFT, "campaign_id": "b", "qini": 0.09, "is_used": False},
        {**UPLIFT, "campaign_id": "c", "qini": 0.02},
    ]
    world = World(dict.fromkeys(names, LAPSED))
    decided = decide(world, knowledge(uplift_scores=scores + noise, uplift_evaluation=campaigns))
    rows = {row["customer_id"]: row for row in decided.to_dicts()}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "dog": "no_value", "lost": "no_value", "moved": "best_action", "sure": "best_action", "unknown": "best_action"
    }  # fmt: skip
    # The step's orders are shared out by the effects: three times the mean's to the moved, as many to the sure.
    assert float(rows["moved"]["expected_value"]) == pytest.approx(0.06 * (24 - 8) - 0.001)
    assert float(rows["sure"]["expected_value"]) == pytest.approx(0.02 * (24 - 8) - 0.001)
    assert [rows[name]["score_uplift"] for name in names] == pytest.approx([0, 0, 2, 1, 1])
    assert rows["dog"]["uplift_segment"] == "sleeping_dog"
    assert (rows["moved"]["cate"], rows["unknown"]["cate"]) == (0.06, None)
    assert json.loads(rows["moved"]["trace"])["models"]["uplift_campaign"] == "c"


def test_the_orders_of_the_shop_are_shared_out_by_what_a_campaign_says() -> None:
    """By hand: 20 ascribed orders of 1000 messages, and 4 of the step's prior that are all caused."""
    of_c = {"campaign_id": "c", "is_used": True, "uplift_segment": "persuadable"}
    scores = [
        {**of_c, "customer_id": name, "cate": cate, "baseline_response": baseline, "uplift_decile": decile}
        for name, cate, baseline, decile in (
            ("moved", 0.06, 0.02, 10),
            ("often", 0.06, 0.10, 9),
            ("put_off", -0.02, 0.04, 1),
        )
    ]
    names = ("moved", "often", "put_off")
    told = knowledge(
        uplift_scores=scores,
        uplift_evaluation=[{**UPLIFT, "campaign_id": "c", "qini": 0.01}],
        channel_posteriors=[channel(name, "email", mean=0.05) for name in names],
        nba_scores=[content(name, "winback", n_sent=300) for name in names],
    )
    world = World(dict.fromkeys(names, LAPSED))
    rows = {row["customer_id"]: row for row in decide(world, told).to_dicts()}
    # Mean effect .04, mean baseline .16 / 3, of which one in 20 is ascribed.
    share = 0.04 / (0.04 + 0.16 / 3 * 0.05)
    # The tenth that is put off loses half of its own orders, and each counts as three.
    caused, anyway = (
        (4 + 20 * share) / 1200 * (0.06 - 2 * 0.5 * 0.02) / 0.04,
        20 * (1 - share) / 1200 * 0.02 / (0.16 / 3),
    )
    assert rows["moved"]["score_propensity"] == pytest.approx(caused + anyway)
    value = caused * 24 - (caused + anyway) * 8 - 0.001 - 0.024
    assert float(rows["moved"]["expected_value"]) == pytest.approx(value, abs=1e-4)
    # The effect is the same on those who buy often, who have the more to lose.
    assert [rows[name]["reason"] for name in names] == ["best_action", "no_value", "no_value"]
    easy = decide(World(world.people, settings=["routing.posteriors.lost_order_weight=1"]), told)
    assert easy["reason"].to_list() == ["best_action", "best_action", "no_value"]


def test_a_campaigns_uplift_says_nothing_of_service_messages() -> None:
    scores = {"campaign_id": "c", "is_used": True, "baseline_response": 0.1, "uplift_decile": 1}
    told = knowledge(
        uplift_scores=[{**scores, "customer_id": "dog", "cate": -0.1, "uplift_segment": "sleeping_dog"}],
        uplift_evaluation=[{**UPLIFT, "campaign_id": "c", "qini": 0.01}],
    )
    for is_service, reason in ((False, "no_value"), (True, "best_action")):
        world = World({"dog": LAPSED}, settings=[f"routing.programmes.winback.is_service={str(is_service).lower()}"])
        decided = decide(world, told)
        assert decided["reason"].item() == reason
        assert decided["cate"].item() == -0.1
    assert [name for name, programme in World({}).shop.routing.programmes.items() if programme.is_service] == [
        "order_shipped"
    ]


def test_randomised_campaigns_tell_which_orders_are_caused() -> None:
    def share(*campaigns: tuple[float, float, float], **more: Any) -> float:
        rows = [
            {"campaign_id": str(n), "chosen": True, "randomised": True, "control_cr": 0.1, **more}
            | dict(zip(("average_treatment_effect", "ate_lo", "ate_hi"), effect, strict=True))
            for n, effect in enumerate(campaigns)
        ]
        return caused_by_campaigns(table(CONTRACTS["uplift_evaluation"], rows).lazy(), 0.5, 0.1)

    assert share() == 0.5
    # Of those who come anyway one in ten responds: of 5 orders more and 10 that come anyway, 5 of 6 ascribed ones are caused.
    assert share((0.05, 0.049, 0.051)) == pytest.approx(5 / 6, abs=0.01)
    assert share((-0.01, -0.02, -0.005)) == pytest.approx(0, abs=0.01)
    # One that could be anything moves it little, one that was not randomised not at all.
    assert share((0.0, -0.5, 0.5)) == pytest.approx(0.5, abs=0.05)
    assert share((0.05, 0.049, 0.051), randomised=False) == 0.5
    assert share((0.05, 0.04, 0.06), (0.0, -0.5, 0.5)) == pytest.approx(5 / 6, abs=0.05)


def test_a_programmes_own_experiment_tells_its_share_and_a_little_of_the_other_programmes() -> None:
    people = {"ana": LAPSED, "neu": NEW}
    on_email = [channel(name, "email", mean=0.05) for name in people]
    contents = [content(name, kind, n_sent=800) for name, kind in (("ana", "winback"), ("neu", "welcome"))]
    caused = {}
    for measured in (None, 0.9, 0.1):
        told = {"experiment": "winback", "measured": measured, "error": measured and 0.01}
        decided = decide(
            World(people), knowledge(channel_posteriors=on_email, nba_scores=contents, caused_share=[told])
        )
        caused[measured] = [trace["gates"]["value"]["caused"] for trace in traces(decided)]
    # Of 24 orders the step's 4 are all caused, of the shop's 20 the share.
    assert caused[None][0] == pytest.approx(14 / 24, abs=1e-4)
    assert caused[0.9][0] == pytest.approx(22 / 24, abs=0.01)
    assert caused[0.1][0] == pytest.approx(6 / 24, abs=0.01)
    # Welcome has measured nothing: it is taken to be as the measured ones and what was believed before are on average.
    assert caused[0.1][1] < caused[None][1] < caused[0.9][1]
    assert caused[0.1][0] < caused[0.1][1] and caused[0.9][1] < caused[0.9][0]


def test_the_load_wears_off_the_response_and_makes_customers_leave() -> None:
    bears = {"fatigue": 0.5, "typical_load": 1.0, "shop_load": 1.0, "unsubscribe_growth": 2.0}
    told = knowledge(
        channel_posteriors=[channel(name, "email") for name in ("rested", "tired")],
        cadence_posteriors=[{"customer_id": name, **bears} for name in ("rested", "tired")],
    )
    at = dt.datetime(2025, 2, 25, 9, tzinfo=dt.UTC)
    heard = [
        {"customer_id": "tired", "message_id": f"m{n}", "channel": "sms", "sent_at": at + dt.timedelta(days=n)}
        # The day of sending is the second of March: this is the first of the seven days before it, and one is earlier.
        for n in (-3, -2, 0, 1)
    ]
    world = World({"rested": LAPSED, "tired": LAPSED}, engagement=heard)
    rested, tired = decide(world, told).to_dicts()
    for row, load in ((rested, 0), (tired, 3)):
        value = json.loads(row["trace"])["gates"]["value"]
        assert value["load"] == load
        assert value["load_factor"] == pytest.approx(np.exp(-0.5 * (load - 1)), abs=1e-4)
        assert value["response_rate"] == pytest.approx(0.02 * 2 * np.exp(-0.5 * (load - 1)), abs=1e-6)
        assert value["unsubscribe_cost"] == pytest.approx(0.001 * 24 * (1 + 2 * load) / 3, abs=1e-4)


@pytest.mark.parametrize(("proved", "ranking"), [("margin", "margin"), ("gone", "balanced"), (None, "balanced")])
def test_the_ranking_that_proved_itself_decides(proved: str | None, ranking: str) -> None:
    world = World({"ana": LAPSED})
    rows = [{"policy": proved, "is_in_force": True}] if proved else []
    decided = decide(world, knowledge(policy_evaluation=rows))
    assert traces(decided)[0]["models"]["ranking"] == ranking
    assert decided["policy_version"].item() == deciding.policy_version(world.shop, ranking)


def test_channels_are_compared_by_what_they_earn() -> None:
    # A call brings four times the orders of a mail and costs more than that: 0.08 * 16 < 4 in any case.
    yaml = """
routing:
  assume_consent: [email, call]
  channels: {call: {enabled: true, quiet_hours: null, addressed_by: customer_id, cost: COST}}
  programmes: {winback: {steps: [{channels: [call, email], offers: [winback_10], response_rate: 0.02,
    response_rates: {call: 0.08}}]}}
"""
    for cost, expected in (("1.2", "email"), ("0.1", "call")):
        world = World({"ana": {**LAPSED, "country": "ZZ"}}, yaml=yaml.replace("COST", cost))
        world.settings = ["country=DE", "routing.channels.push.enabled=false"]
        assert decide(world)["channel"].item() == expected


def test_sends_name_the_first_recommendations() -> None:
    rows = [{"customer_id": c, "rank": n, "item_id": f'{c} "{n}"'} for c in ("ana", "bea") for n in (4, 2, 3, 1)]
    world = World({"ana": LAPSED, "bea": {**LAPSED, "consent_email": False}, "eva": LAPSED})
    ana, bea, eva = decide(world, knowledge(user_recommendations=rows))["products"]
    assert json.loads(ana) == ['ana "1"', 'ana "2"', 'ana "3"']
    assert (bea, eva) == (None, None)


def test_a_decision_logs_the_chances_that_it_was_taken_with() -> None:
    world = crowd()
    decided = decide(world, posteriors(world))
    share, eps = world.shop.routing.exploration.share, world.shop.routing.exploration.eps
    explored = 0
    for row, trace in zip(decided.to_dicts(), traces(decided), strict=True):
        arms = {arm["arm"]: arm for arm in trace["arms"]}
        assert len(arms) == 6
        for of in (lambda arm: arm["pi"], lambda arm: arm["pi_by"]["balanced"], lambda arm: arm["pi_by"]["margin"]):
            chances = [of(arm) for arm in arms.values()]
            assert sum(chances) == pytest.approx(1, abs=1e-5)
            assert min(chances) >= share * eps - 1e-6
        taken = arms[f"{row['programme']}/{row['step']}/{row['channel']}/{row['offer_id']}"]
        assert row["propensity"] == pytest.approx(taken["pi"], abs=1e-6)
        best = max(trace["arms"], key=lambda arm: arm["score"])
        assert trace["exploration"]["explores"] or taken == best
        assert not trace["exploration"]["limited"]
        explored += taken != best
        assert [arm["expected_value"] for arm in trace["arms"]] == sorted(
            (arm["expected_value"] for arm in trace["arms"]), reverse=True
        )
    # Not the best arm: with a chance of about a sixth, so between 40 and 100 of 400 (four standard errors are 30).
    expected = sum(1 - max(t["arms"], key=lambda arm: arm["score"])["pi"] for t in traces(decided))
    assert explored == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_decisions_do_not_depend_on_the_order_of_rows_and_are_drawn_anew_by_the_seed() -> None:
    world = crowd()
    decided = decide(world, posteriors(world))
    shuffled = crowd(shuffled=True)
    known = posteriors(world)
    upside_down = replace(known, channel_posteriors=known.channel_posteriors.reverse())
    assert decide(shuffled, upside_down).equals(decided)
    other = decide(crowd(settings=["seed=7"]), posteriors(world))
    assert 0 < (other["channel"] != decided["channel"]).sum() < decided.height / 2


def test_where_a_limit_decided_the_chances_are_not_for_comparing_policies() -> None:
    capped = crowd(100, settings=["routing.offers.ten.cap=0", "routing.offers.word.cap=3"])
    decided = decide(capped)
    assert decided.filter(action="send").height == 3
    assert all(trace["exploration"]["limited"] for trace in traces(decided))
    throttled = crowd(100, settings=["routing.contact.throttle=50"])
    decided = decide(throttled)
    decided = decided.with_columns(limited=pl.Series([t["exploration"]["limited"] for t in traces(decided)]))
    worst = decided.filter(reason="throttled")["score"].max()
    assert decided.filter(action="send").height == 50
    assert decided.filter((pl.col("reason") == "throttled") & ~pl.col("limited")).is_empty()
    free = decided.filter(~pl.col("limited"))
    assert all(min(arm["score"] for arm in json.loads(text)["arms"]) > worst for text in free["trace"])
