"""Churn with a known truth, for the three kinds of business: how close the scores come to it, and what is said of them."""

import datetime as dt
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from churn_world import SHOP, TONIGHT, ZONE, World, ecommerce, prepaid, saas

from lifecycle_assets.features.churn_labels import churn_labels, label_days
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.features.subscription_facts import subscription_facts
from lifecycle_assets.hashing import generator
from lifecycle_assets.inputs.contracts import Subscriptions
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.churn_drivers import ChurnDrivers, churn_drivers
from lifecycle_assets.models.churn_features import WORDS, features_for
from lifecycle_assets.models.churn_risk import ChurnRisk, churn_risk
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation, remark
from lifecycle_assets.models.classifier import Trained, TrainingSet
from lifecycle_assets.models.classifier_auc import auc
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.score_training import learnt
from lifecycle_assets.settings import Churn, Scores

SCORES = Scores(candidates=("logistic", "xgboost"), folds=3)
MAKERS: dict[str, Callable[[Path], World]] = {"ecommerce": ecommerce, "saas": saas, "prepaid": prepaid}


class Night:
    """A world with what one night makes of it."""

    def __init__(self, business: str) -> None:
        with TemporaryDirectory() as folder:
            self.world = MAKERS[business](Path(folder))
            self.days = self.world.days
            self.data, self.newest = self.world.training()
            self.tonight = self.world.snapshots.take(SHOP, TONIGHT, self.world.settings, timezone=ZONE)
        self.churn = self.world.settings.churn
        self.trained = learnt(
            self.data, self.newest, label_days(self.churn), TONIGHT, SCORES, generator(SHOP, "churn", 0)
        )
        self.labels = churn_labels(
            self.tonight.orders.lazy(), _lazy(self.tonight.subscriptions), SHOP, TONIGHT, self.churn, ZONE
        )
        self.risk = risk(self.tonight, self.labels, champion(self.trained), self.churn)

    def truth(self, ids: str, day: dt.date) -> np.ndarray:
        truth = self.world.truth
        if "snapshot" in truth.columns:
            truth = truth.filter(snapshot=day)
        rows = self.risk if ids == "risk" else self.data.rows.filter(snapshot=day).rename({"group": "customer_id"})
        return rows.join(truth, on="customer_id", how="left", maintain_order="left")["truth"].to_numpy()


@cache
def night(business: str) -> Night:
    return Night(business)


def champion(trained: Trained, *, is_used: bool = True) -> Champion:
    return Champion(trained.model, 1, TONIGHT, is_used=is_used, note=trained.note)


def risk(
    tonight: Snapshot, labels: pl.DataFrame, model: Champion, churn: Churn, value: pl.DataFrame | None = None
) -> pl.DataFrame:
    forecast = ClvForecast.empty() if value is None else value
    made = churn_risk(tonight, labels.lazy(), forecast.lazy(), model, churn, SCORES, ZONE)
    ChurnRisk.require(ChurnRisk.conform(made.lazy()).collect())
    return made


def _lazy(frame: pl.DataFrame | None) -> pl.LazyFrame:
    assert frame is not None
    return frame.lazy()


@pytest.mark.slow
@pytest.mark.parametrize("business", list(MAKERS))
def test_the_order_is_nearly_the_best_possible_out_of_time(business: str) -> None:
    made = night(business)
    last = made.data.rows.filter(snapshot=made.days[-1])
    best = auc(last["label"].to_numpy(), made.truth("rows", made.days[-1]), np.arange(last.height)).value
    row = made.trained.evaluation.filter(pl.col("chosen") & (pl.col("split") == "out_of_time")).row(0, named=True)
    assert row["test_rows"] == last.height
    assert best - 0.02 < row["roc_auc"] < best + 0.02
    assert row["calibration_error"] < 0.03
    assert made.trained.is_usable
    rule = made.trained.evaluation.filter(candidate="baseline", split="out_of_time")["roc_auc"][0]
    assert row["roc_auc"] > rule + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("business", list(MAKERS))
def test_tonights_probabilities_are_near_the_truth(business: str) -> None:
    made = night(business)
    probability, truth = made.risk["churn_probability"].to_numpy(), made.truth("risk", TONIGHT)
    assert abs(probability.mean() - truth.mean()) < 0.02
    assert np.abs(probability - truth).mean() < 0.06
    assert np.corrcoef(probability, truth)[0, 1] > 0.9
    bands = np.where(probability >= 0.6, "High", np.where(probability >= 0.25, "Medium", "Low"))
    assert made.risk["risk_band"].to_list() == bands.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("business", list(MAKERS))
def test_everyone_who_has_not_churned_has_one_row_and_its_reasons(business: str) -> None:
    made = night(business)
    assert made.risk["customer_id"].to_list() == made.labels.filter(~pl.col("churned"))["customer_id"].to_list()
    assert 0 < made.risk.height < made.labels.height
    told = "buys mostly" if business == "ecommerce" else "on plan"
    assert made.risk["top_factors"].str.contains(told).mean() > 0.8
    assert made.risk["top_factors"].str.contains("raises it by|lowers it by").all()


@pytest.mark.slow
@pytest.mark.parametrize("business", list(MAKERS))
def test_the_training_set_is_clean_and_complete(business: str) -> None:
    made = night(business)
    found = made.trained.card["audit"]
    assert (found["problems"], found["suspected"]) == ([], {})
    assert [row["snapshot"] for row in found["snapshots"]] == [str(day) for day in made.days]
    assert len(made.days) == 4
    columns = features_for(made.churn)
    assert set(columns.baseline) <= set(columns.numbers)
    assert {*columns.numbers, *columns.categories} <= set(WORDS)


@pytest.mark.slow
def test_the_drivers_are_those_of_the_made_world() -> None:
    made = night("saas")
    # Two segments by turns, and every third customer in none.
    segments = made.risk.select("customer_id", segment=pl.int_range(pl.len(), dtype=pl.Int64) % 3).lazy()
    drivers = churn_drivers(
        made.tonight, made.risk.lazy(), segments, champion(made.trained), made.churn, ZONE, np.random.default_rng(0)
    )
    ChurnDrivers.require(drivers)
    counts = drivers.filter(rank=1).select("segment", "customers").rows()
    assert [name for name, _ in counts] == ["1", "2", "all", "none"]
    assert dict(counts)["all"] == made.risk.height == sum(n for name, n in counts if name != "all")
    top = drivers.filter(segment="all").sort("rank")
    assert top["feature"][0] == "plan"
    assert "subscription_age_days" in top["feature"][:3].to_list() or "plan_age_days" in top["feature"][:3].to_list()
    assert top["share_of_all"].sum() == pytest.approx(1)


@pytest.mark.slow
def test_days_to_churn_are_those_until_the_rule_fires() -> None:
    made = night("ecommerce")
    recency = made.risk.join(made.labels, on="customer_id", how="left", maintain_order="left")["days_since_event"]
    assert (made.risk["days_to_churn"] + recency == 90).all()
    assert made.risk["days_to_churn"].min() >= 1
    # At an unchanged daily risk: p = 1 - exp(-30 / mean wait).
    waiting = night("saas").risk.filter(pl.col("days_to_churn").is_not_null())
    assert np.allclose(1 - np.exp(-30 / waiting["days_to_churn"]), waiting["churn_probability"], atol=0.01)


def valued(customers: pl.Series, tiers: list[str]) -> pl.DataFrame:
    """A 12-month forecast for every customer, the tiers in turn."""
    return pl.DataFrame(
        {
            "customer_id": customers,
            "horizon_months": [12] * customers.len(),
            "clv_tier": [tiers[i % len(tiers)] for i in range(customers.len())],
            "expected_value": [float(i) for i in range(customers.len())],
        }
    )


@pytest.mark.slow
def test_the_recommendation_weighs_risk_against_value() -> None:
    made = night("ecommerce")
    value = valued(made.risk["customer_id"], ["High", "Medium", "Low"])
    told = risk(made.tonight, made.labels, champion(made.trained), made.churn, value).join(value, on="customer_id")
    action = pl.col("recommended_action")
    assert not told["recommended_action"].str.contains(r"[{}]").any()
    costly = told.filter(action.str.contains("best offer"))
    assert (
        costly.height
        and costly.select((pl.col("risk_band") == "High").all() & (pl.col("clv_tier") == "High").all()).item()
    )
    lost = told.filter((pl.col("risk_band") == "High") & (pl.col("clv_tier") == "Low"))
    assert lost["recommended_action"].str.contains("without an offer").all()
    row = costly.row(0, named=True)
    until = TONIGHT + dt.timedelta(days=row["days_to_churn"])
    assert f"by {until}" in row["recommended_action"]
    assert f"12 months: {row['expected_value']:.0f}" in row["recommended_action"]


@pytest.mark.slow
def test_a_model_that_is_not_used_recommends_nothing() -> None:
    made = night("ecommerce")
    told = risk(made.tonight, made.labels, champion(made.trained, is_used=False), made.churn)
    assert not told["is_used"].any()
    assert told["recommended_action"].unique().to_list() == ["Do not act on it: the model has not proved itself."]


@pytest.mark.slow
def test_a_cancellation_on_record_is_certain() -> None:
    made = night("saas")
    assert made.tonight.subscriptions is not None
    leaving = made.risk["customer_id"][0]
    soon = dt.datetime.combine(TONIGHT + dt.timedelta(days=10), dt.time(12), dt.UTC)
    on_record = made.tonight.subscriptions.with_columns(
        pl.when(pl.col("customer_id") == leaving).then(pl.lit(soon)).otherwise("cancelled_at").alias("cancelled_at")
    )
    tonight = Snapshot(
        TONIGHT, made.tonight.orders, made.tonight.customer_orders, made.tonight.customer_behaviour, on_record
    )
    told = risk(tonight, made.labels, champion(made.trained), made.churn)
    row = told.row(0, named=True)
    assert (row["churn_probability"], row["risk_band"], row["days_to_churn"]) == (1.0, "High", 10)
    assert "2025-01-10" in row["note"]
    assert told[1:].equals(made.risk[1:])


@pytest.mark.slow
@pytest.mark.parametrize("keeps_nights", [True, False])
def test_cancellations_that_were_on_record_are_not_expected_again(keeps_nights: bool, tmp_path: Path) -> None:
    world = saas(tmp_path, ahead=29, keeps_nights=keeps_nights)
    data, newest = world.training()
    made = learnt(data, newest, 30, TONIGHT, SCORES, np.random.default_rng(0))
    tonight = world.snapshots.take(SHOP, TONIGHT, world.settings, timezone=ZONE)
    labels = churn_labels(
        tonight.orders.lazy(), _lazy(tonight.subscriptions), SHOP, TONIGHT, world.settings.churn, ZONE
    )
    told = risk(tonight, labels, champion(made), world.settings.churn)
    asked = told.filter(pl.col("churn_probability") < 1).join(world.truth.filter(snapshot=TONIGHT), on="customer_id")
    certain = told.filter(pl.col("churn_probability") == 1)
    assert certain["note"].str.contains("A cancellation is on record").all()
    assert certain.height > 50
    snapshots = [world.snapshots.take(SHOP, day, world.settings, timezone=ZONE) for day in [*world.days, TONIGHT]]
    said = remark(snapshots, world.settings.churn, ZONE)
    too_high = asked["churn_probability"].mean() - asked["truth"].mean()
    if keeps_nights:
        assert abs(too_high) < 0.015
        assert said == ""
    else:
        assert too_high > 0.02
        assert "known of 0 of 4 snapshots" in said
        noted = learnt(data, newest, 30, TONIGHT, SCORES, np.random.default_rng(0), said)
        assert said in noted.note and said in noted.card["note"]
        assert said in noted.evaluation.filter("chosen")["note"][0]


def test_too_few_of_a_class_gives_no_probability_and_says_why() -> None:
    with TemporaryDirectory() as folder:
        world = ecommerce(Path(folder), customers=30)
        data, newest = world.training()
        tonight = world.snapshots.take(SHOP, TONIGHT, world.settings, timezone=ZONE)
    made = learnt(data, newest, 90, TONIGHT, SCORES, np.random.default_rng(0))
    labels = churn_labels(
        tonight.orders.lazy(), _lazy(tonight.subscriptions), SHOP, TONIGHT, world.settings.churn, ZONE
    )
    none = Champion(None, None, None, is_used=False, note=made.note)
    told = risk(tonight, labels, none, world.settings.churn)
    assert made.model is None
    assert told.height
    assert told["churn_probability"].null_count() == told["top_factors"].null_count() == told.height
    assert set(told["risk_band"]) == {"Low"}
    assert told["note"].is_not_null().all()
    segments = pl.LazyFrame(schema={"customer_id": pl.String, "segment": pl.Int64})
    drivers = churn_drivers(tonight, told.lazy(), segments, none, world.settings.churn, ZONE, np.random.default_rng(0))
    assert drivers.is_empty()


@pytest.mark.parametrize("business", list(MAKERS))
def test_an_empty_shop_gives_empty_tables(business: str) -> None:
    with TemporaryDirectory() as folder:
        world = MAKERS[business](Path(folder), customers=3)
        empty = world.snapshots.take("nobody", TONIGHT, world.settings, timezone=ZONE)
    data: TrainingSet
    from lifecycle_assets.models.churn_risk_evaluation import training_set

    data, newest = training_set([empty], "nobody", world.settings.churn, ZONE)
    made = learnt(data, newest, 30, TONIGHT, SCORES, np.random.default_rng(0))
    assert made.model is None
    rows = made.evaluation.with_columns(
        pl.lit("nobody").alias("shop_id"), pl.lit(TONIGHT).alias("as_of"), pl.lit(TONIGHT).alias("trained_as_of")
    )
    ChurnRiskEvaluation.require(ChurnRiskEvaluation.conform(rows.lazy()).collect())


def test_subscription_facts_by_hand() -> None:
    def at(day: str) -> dt.datetime:
        return dt.datetime.fromisoformat(f"{day}T12:00:00+00:00")

    common = {"shop_id": SHOP, "as_of": dt.date(2024, 3, 1)}
    rows = [
        {"subscription_id": "1", "customer_id": "A", "plan": "basic", "started_at": at("2024-01-01"),
         "cancelled_at": at("2024-02-10"), "quota": 10.0, "used": 10.0},
        {"subscription_id": "2", "customer_id": "A", "plan": "pro", "started_at": at("2024-02-20"),
         "cancelled_at": at("2024-04-01"), "quota": 100.0, "used": 25.0, "balance": 3.0, "topped_up_at": at("2024-02-25")},
        {"subscription_id": "3", "customer_id": "A", "plan": "later", "started_at": at("2024-03-09")},
        {"subscription_id": "4", "customer_id": "B", "plan": "basic", "started_at": at("2024-02-28"), "balance": 1.0},
    ]  # fmt: skip
    table = pl.DataFrame(
        [{**dict.fromkeys(Subscriptions.columns), **common, **row} for row in rows], schema=Subscriptions.polars_schema
    )
    a, b = subscription_facts(table.lazy(), dt.date(2024, 3, 1), ZONE).to_dicts()
    assert a == {
        "customer_id": "A", "subscriptions_running": 1, "subscriptions_past": 1, "subscription_age_days": 10,
        "plan_age_days": 10, "days_since_top_up": 5, "balance": 3, "usage_share": 0.25, "plan": "pro",
        "newest_event": dt.date(2024, 2, 25),
    }  # fmt: skip
    assert (b["plan"], b["usage_share"], b["days_since_top_up"]) == ("basic", None, None)
    # Of an earlier day the rows tell no balance and no usage, and of what came later nothing.
    (earlier,) = subscription_facts(table.lazy(), dt.date(2024, 2, 15), ZONE).to_dicts()
    assert (earlier["subscriptions_running"], earlier["subscriptions_past"], earlier["plan"]) == (0, 1, None)
    assert (earlier["balance"], earlier["usage_share"], earlier["newest_event"]) == (None, None, dt.date(2024, 2, 10))
