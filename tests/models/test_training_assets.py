"""Training and scoring in Dagster, over a real store: when a model is trained, kept, replaced and rolled back."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from lifecycle_assets import automation
from lifecycle_assets.contracts import registry
from lifecycle_assets.models.assets.training import STORE, audit_check, in_force, trained
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.classifier import Trained, TrainingSet
from lifecycle_assets.models.registry import Registry
from lifecycle_assets.models.registry import registry as registered
from lifecycle_assets.models.score_training import learnt, snapshot_days
from lifecycle_assets.settings import Scores
from lifecycle_assets.wiring import table_asset
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.model_store import ModelStore
from resources.nights import Nights
from resources.warehouse.lake import Lake

SHOP, NAME = "made", "churn_risk"
NIGHT = dt.date(2024, 6, 30)
WINDOW = 30
pytestmark = pytest.mark.slow
# As many snapshots as `learning` has.
BOTH = "scores.snapshots=2"
SCORES = Scores(candidates=("logistic",), folds=2, snapshots=2)


def learning(signal: float, as_of: dt.date, rows: int = 600, leak_days: int = 0, *, is_dated: bool = True) -> Trained:
    """A model of a label of which a feature tells `signal`; with `leak_days` its features hold later events, unless no event
    of theirs is dated."""
    rng = np.random.default_rng(as_of.toordinal())
    days = snapshot_days(dt.date(2020, 1, 1), as_of, WINDOW, 2)
    told = rng.normal(size=2 * rows)
    frame = pl.DataFrame(
        {
            "snapshot": [day for day in days for _ in range(rows)],
            "group": [f"C{i}" for i in range(rows)] * 2,
            "label": rng.random(told.size) < 1 / (1 + np.exp(1 - signal * told)),
            "told": told,
            "noise": rng.normal(size=told.size),
        }
    )
    newest = {day: day + dt.timedelta(days=leak_days) if is_dated else None for day in days}
    data = TrainingSet(frame, ("told", "noise"), (), ("noise",), "leaves")
    return learnt(data, newest, WINDOW, as_of, SCORES, np.random.default_rng(0))


class Shop:
    """A home with one evaluation asset; `calls` counts the trainings."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.home.shop_file(SHOP).parent.mkdir()
        self.home.shop_file(SHOP).write_text("{name: Made, timezone: UTC, currency: EUR, country: ES, input: none}")
        self.lake = Lake(self.home.warehouse, list(registry().values()))
        self.store = ModelStore(self.home.models)
        self.calls = 0

    def night(
        self,
        as_of: dt.date,
        make: Callable[[dt.date], Trained],
        features: tuple[str, ...] = ("told", "noise"),
        overrides: str = "",
    ) -> dict[str, Any]:
        """One night of the evaluation asset and its check; what the model in force is, and how the check ended."""
        champions = []

        def counted() -> Trained:
            self.calls += 1
            return make(as_of)

        @dg.asset(**table_asset(ChurnRiskEvaluation, "xgboost", resources=(STORE,)))
        def evaluation(context: dg.AssetExecutionContext) -> pl.DataFrame:
            rows = trained(context, ChurnRiskEvaluation, NAME, counted, features)
            champions.append(in_force(context, NAME, rows.lazy()))
            return rows

        nights = Nights(self.home)
        instance = dg.DagsterInstance.ephemeral()
        instance.add_dynamic_partitions("shops", [SHOP])
        result = dg.materialize(
            [evaluation, audit_check(ChurnRiskEvaluation, NAME)],
            partition_key=SHOP,
            instance=instance,
            raise_on_error=False,
            tags={"lifecycle/as_of": str(as_of), **({"lifecycle/set": overrides} if overrides else {})},
            resources={
                "nights": nights,
                "warehouse": WarehouseIOManager(self.lake, DuckDBEngine("1GB", 1), nights),
                STORE: self.store,
            },
        )
        (check,) = result.get_asset_check_evaluations()
        # What is wrong stops the night; what is suspected does not.
        assert result.success == (check.passed or check.severity == dg.AssetCheckSeverity.WARN)
        return {"champion": champions[0], "check": check, "rows": self.rows()}

    def rows(self) -> pl.DataFrame:
        return self.lake.scan(ChurnRiskEvaluation, SHOP).collect()

    def files(self) -> list[Path]:
        """Every file of the lake's tables and of the store."""
        folders = [self.home.warehouse / "models", self.home.models / SHOP]
        return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]

    def bytes(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.files()}

    def times(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self.files()}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def good(as_of: dt.date) -> Trained:
    return learning(1.5, as_of)


def poor(as_of: dt.date) -> Trained:
    return learning(0.4, as_of)


def too_few(as_of: dt.date) -> Trained:
    return learning(1.5, as_of, rows=15)


def later(days: int) -> dt.date:
    return NIGHT + dt.timedelta(days=days)


def test_the_same_night_again_is_the_same_to_the_byte(shop: Shop) -> None:
    first = shop.night(NIGHT, good)
    assert first["champion"].model is not None
    assert first["champion"].is_used
    before, times = shop.bytes(), shop.times()
    again = shop.night(NIGHT, poor)  # what another training would give does not matter
    assert shop.calls == 1
    assert shop.bytes() == before
    assert shop.times() == times
    assert again["rows"]["seconds"].equals(first["rows"]["seconds"])


def test_a_model_is_trained_anew_after_retrain_days(shop: Shop) -> None:
    for days, calls, version in [(0, 1, 1), (1, 1, 1), (6, 1, 1), (7, 2, 2), (13, 2, 2), (14, 3, 3)]:
        made = shop.night(later(days), good)
        assert (shop.calls, made["champion"].version) == (calls, version), days
        assert set(made["rows"]["as_of"]) == {later(days)}
        assert set(made["rows"]["trained_as_of"]) == {later({1: 0, 2: 7, 3: 14}[version])}
    # A night that is run again meets the model of its own time.
    assert shop.night(later(8), good)["champion"].version == 2
    assert shop.calls == 3


def test_a_change_of_settings_or_features_trains_anew(shop: Shop) -> None:
    shop.night(NIGHT, good)
    shop.night(later(1), good, overrides="scores.folds=3")
    assert shop.calls == 2
    shop.night(later(1), good, overrides="scores.folds=3")
    shop.night(later(1), good, overrides="language=es")
    assert shop.calls == 3  # the folds are back to what they were; the language is not what is learnt by
    shop.night(later(1), good, features=("told",))
    assert shop.calls == 4


def test_a_challenger_that_is_significantly_worse_does_not_take_over(shop: Shop) -> None:
    first = shop.night(NIGHT, good)
    then = shop.night(later(7), poor)
    assert shop.calls == 2
    assert then["champion"].version == 1
    told = then["rows"].filter("chosen")
    assert told["note"].str.contains(f"trained on {later(7)} was not taken").all()
    assert told["note"].str.contains("on its own last window").all()
    assert then["champion"].is_used
    assert told["roc_auc"].equals(first["rows"].filter("chosen")["roc_auc"])
    assert set(then["rows"]["trained_as_of"]) == {NIGHT}
    before = shop.bytes()
    shop.night(later(7), poor)
    assert shop.bytes() == before
    # It is not tried again every night.
    shop.night(later(8), poor)
    assert shop.calls == 2
    assert shop.night(later(14), good)["champion"].version == 3
    table = registered(shop.store.versions(SHOP, NAME, later(14)), shop.home.root, SHOP, later(14))
    Registry.require(table)
    assert table["is_champion"].to_list() == [False, False, True]
    assert table["note"].str.contains("was not taken").to_list() == [False, True, False]
    assert all((shop.home.root / file / "card.json").exists() for file in table["file"])


def test_the_newest_test_has_the_last_word_on_use(shop: Shop) -> None:
    shop.night(NIGHT, good)
    then = shop.night(later(7), lambda as_of: learning(0.0, as_of))
    assert then["champion"].version == 1
    assert not then["champion"].is_used
    assert not then["rows"]["is_used"].any()
    assert then["rows"].filter("chosen")["note"].str.ends_with("the scores are not used.").all()
    assert not shop.night(later(8), good)["champion"].is_used
    again = shop.night(later(14), good)["champion"]
    assert (again.version, again.is_used) == (3, True)


def test_a_champion_older_than_the_label_window_is_tested_on_the_challengers_rows(shop: Shop) -> None:
    """What it did in its own window, when the feature told more, no longer counts."""
    shop.night(NIGHT, good)
    assert shop.night(later(WINDOW - 2), poor)["champion"].version == 1
    assert shop.night(later(WINDOW + 5), poor)["champion"].version == 3


def test_on_the_same_rows_a_worse_challenger_is_refused(shop: Shop) -> None:
    """Its order of the test's rows is noise; its own evaluation, which would be good enough, does not count."""

    def misled(as_of: dt.date) -> Trained:
        made = good(as_of)
        assert made.tested is not None
        return dataclasses.replace(
            made, tested=dataclasses.replace(made.tested, probability=made.tested.rows["noise"].to_numpy())
        )

    shop.night(NIGHT, good)
    then = shop.night(later(WINDOW), misled)
    assert then["champion"].version == 1
    assert then["rows"].filter("chosen")["note"].str.contains("of this one on the same rows").all()


def test_rollback_holds_until_the_next_training(shop: Shop) -> None:
    shop.night(NIGHT, good)
    shop.night(later(7), good)
    shop.store.rollback(SHOP, NAME)
    made = shop.night(later(8), good)
    assert (made["champion"].version, shop.calls) == (1, 2)
    assert set(made["rows"]["trained_as_of"]) == {NIGHT}
    assert shop.night(later(14), good)["champion"].version == 3


def test_nothing_learnt_is_tried_again_with_the_next_training_and_leaves_the_champion(shop: Shop) -> None:
    nothing = shop.night(NIGHT, too_few, overrides=BOTH)
    assert (nothing["champion"].model, nothing["champion"].is_used) == (None, False)
    assert nothing["champion"].note
    before = shop.bytes()
    shop.night(NIGHT, too_few, overrides=BOTH)
    assert shop.bytes() == before
    waiting = shop.night(later(6), good, overrides=BOTH)
    assert (waiting["champion"].model, shop.calls) == (None, 1)
    assert waiting["rows"]["note"].equals(nothing["rows"]["note"])
    assert shop.night(later(7), good, overrides=BOTH)["champion"].version == 2
    kept = shop.night(later(14), too_few, overrides=BOTH)
    assert (kept["champion"].version, kept["champion"].is_used) == (2, True)
    again = shop.night(later(15), good, overrides=BOTH)
    assert (again["champion"].version, shop.calls) == (2, 3)
    assert again["rows"].drop("as_of").equals(kept["rows"].drop("as_of"))
    assert "Nothing was learnt" in again["champion"].note
    table = registered(shop.store.versions(SHOP, NAME, later(15)), shop.home.root, SHOP, later(15))
    assert table["is_champion"].to_list() == [False, True, False]
    assert table["candidate"].is_null().to_list() == [True, False, True]


def test_a_changed_setting_tries_at_once_what_could_not_be_learnt(shop: Shop) -> None:
    shop.night(NIGHT, too_few, overrides=BOTH)
    assert shop.night(later(1), good, overrides=f"{BOTH}\nscores.folds=3")["champion"].version == 2


def test_while_the_history_is_short_it_is_tried_every_night(shop: Shop) -> None:
    for days in range(3):
        shop.night(later(days), too_few, overrides="scores.snapshots=3")
    assert (shop.calls, shop.store.names(SHOP)) == (3, [])
    assert shop.night(later(3), good, overrides="scores.snapshots=3")["champion"].version == 1
    kept = shop.night(later(10), too_few, overrides="scores.snapshots=3")
    assert (kept["champion"].version, shop.calls) == (1, 5)
    assert "Nothing was learnt" in kept["champion"].note


def test_the_check_stops_a_model_that_has_seen_the_future(shop: Shop) -> None:
    assert shop.night(NIGHT, good)["check"].passed
    leaking = shop.night(later(7), lambda as_of: learning(1.5, as_of, leak_days=2))["check"]
    assert (leaking.passed, leaking.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "its features hold an event of" in leaking.description
    telling = shop.night(later(14), lambda as_of: learning(100.0, as_of))["check"]
    assert (telling.passed, telling.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "told alone tells the answer" in telling.description


def test_the_check_says_what_it_did_not_look_at(shop: Shop) -> None:
    nothing = shop.night(NIGHT, lambda as_of: learning(1.5, as_of, rows=15))["check"]
    assert nothing.description == f"{NAME}: not checked, there is no model"
    undated = shop.night(later(1), lambda as_of: learning(1.5, as_of, is_dated=False))["check"]
    assert (undated.passed, undated.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert undated.description.count("is not checked: no event behind its features bears a date") == 2
    assert shop.night(later(8), good)["check"].description is None


def test_the_job_in_the_ui_rolls_back_as_the_command_does(shop: Shop) -> None:
    for days in (0, 7):
        shop.night(later(days), good)
    config = {"ops": {"withdraw": {"config": {"shop": SHOP, "model": NAME}}}}
    done = automation.rollback_model.execute_in_process(run_config=config, resources={STORE: shop.store})
    assert done.success
    champion = shop.store.champion(SHOP, NAME, later(7))
    assert champion is not None and champion.version == 1
