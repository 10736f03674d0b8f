"""Forecasts fitted by the executors of a real Spark cluster of two workers are those fitted here."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from spark_cluster import cluster

from lifecycle_assets.definitions import Home, build_resources
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.models import forecast_evaluation as evaluations
from lifecycle_assets.models.forecast_candidates import CANDIDATES, Candidate, Mapped, Panel
from lifecycle_assets.models.forecast_daily import forecast_daily
from lifecycle_assets.models.forecast_evaluation import forecast_evaluation
from lifecycle_assets.models.forecast_race import CANNOT_WIN, Budget
from lifecycle_assets.settings import Shop
from resources.engine.spark_map import SparkMap
from tests.models.forecast_world import AS_OF, NATURES, drawn, series

ROOT = Path(__file__).parents[2]
SHOP = Shop(name="a", timezone="UTC", currency="EUR", country="ES", input="x")
LIBRARIES = ("arima", "prophet", "tbats")
CHEAP = ("seasonal_naive", "mean", "croston", "theta", "ets")


@pytest.fixture(scope="module")
def spread() -> Iterator[SparkMap]:
    # The package need not be installed here; on a cluster it is.
    with cluster(PYTHONPATH=str(ROOT), PYSPARK_PYTHON=sys.executable) as engine:
        yield SparkMap(engine)


def raced(values: np.ndarray, mapped: Mapped, seconds: float = 1e9) -> pl.DataFrame:
    """The race of the series, within a budget of so many seconds."""
    known, budget = series("revenue", values), Budget(seconds, time.perf_counter)
    return forecast_evaluation([known], None, None, shop="s", as_of=AS_OF, settings=SHOP, budget=budget, mapped=mapped)


def of_methods(monkeypatch: pytest.MonkeyPatch, **methods: Callable[[Panel, int, int], np.ndarray]) -> None:
    """Lets these expensive methods race against seasonal naive, the mean, and Croston's."""
    made = {
        name: Candidate(name, 0.1, 1, lambda values: np.ones(len(values), dtype=bool), method)
        for name, method in methods.items()
    }
    monkeypatch.setattr(evaluations, "CANDIDATES", {**{name: CANDIDATES[name] for name in CHEAP[:3]}, **made})


@pytest.mark.slow
def test_races_and_paths_are_those_of_this_process(
    spread: SparkMap, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluations, "CANDIDATES", {name: CANDIDATES[name] for name in (*CHEAP, *LIBRARIES)})
    rng = np.random.default_rng(1)
    values = np.vstack([*(drawn(nature, rng, 1, 400, 0) for nature in NATURES), np.full(400, 7.0)])
    values[3, :90] = np.nan
    known = series("revenue", values)
    spread(abs, [0])
    made, took = [], []
    for mapped in (map, spread):
        started = time.perf_counter()
        race = raced(values, mapped, seconds=2.0)
        paths = forecast_daily([known], race, None, shop="s", as_of=AS_OF, settings=SHOP, mapped=mapped)
        took.append(time.perf_counter() - started)
        made.append((race.drop("seconds"), paths))
    with capsys.disabled():
        print(
            f"\n{len(values)} series: {took[0]:.1f} s here, {took[1]:.1f} s on a cluster that loads the libraries anew"
        )
    for here, there in zip(*made, strict=True):
        assert_frame_equal(here, there, abs_tol=1e-9)
    of_libraries = race.filter(pl.col("candidate").is_in(LIBRARIES) & (pl.col("fold") == 0))
    answered = of_libraries.filter(pl.col("skipped_reason").is_null())
    assert set(answered["candidate"]) == set(LIBRARIES)
    assert (answered["seconds"] > 0).all()
    assert CANNOT_WIN in of_libraries["skipped_reason"].to_list()
    members = race.filter("chosen")["members"].drop_nulls().str.split(", ").explode()
    assert {*paths["algorithm"], *members} & set(LIBRARIES)


@pytest.mark.slow
def test_a_fit_that_fails_on_an_executor_is_no_answer(spread: SparkMap, monkeypatch: pytest.MonkeyPatch) -> None:
    def moody(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
        from lifecycle_assets.models.forecast_libraries import _each

        def of_one(values: np.ndarray, _past: object, _ahead: object) -> np.ndarray:
            if values[0] > 5:
                raise RuntimeError("no such luck")
            return np.full(horizon, values.mean())

        return _each(panel, horizon, of_one)

    of_methods(monkeypatch, moody=moody)
    values = np.random.default_rng(2).uniform(1, 9, (4, 400))
    first = values[:, 0] = [1, 9, 2, 8]
    for mapped in (map, spread):
        rows = raced(values, mapped).filter((pl.col("candidate") == "moody") & (pl.col("fold") == 0)).sort("series")
        assert rows["skipped_reason"].to_list() == [None if value <= 5 else "gave no answer" for value in first]
        assert rows["mae"].is_null().to_list() == [value > 5 for value in first]


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(spread: SparkMap, tmp_path: Path) -> None:
    def once(mark: Path) -> str:
        if not mark.exists():
            mark.touch()
            os._exit(1)
        return mark.name

    assert sorted(spread(once, [tmp_path / "a", tmp_path / "b"])) == ["a", "b"]


@pytest.mark.slow
def test_executors_without_what_they_need_are_said_in_plain_words(spread: SparkMap) -> None:
    def needing(_item: int) -> None:
        import a_package_that_is_not_there  # noqa: F401

    with pytest.raises(LifecycleError, match=r"No module named 'a_package_that_is_not_there'.* PYSPARK_PYTHON"):
        spread(needing, [1])
    assert spread(partial(pow, 2), [3, 1, 2]) == [8, 2, 4]
    assert spread(abs, []) == []


def test_the_setting_decides_where_forecasts_are_fitted(tmp_path: Path) -> None:
    assert build_resources(Home(tmp_path))["mapped"] is map
    (tmp_path / "lifecycle.yaml").write_text("engine: spark\n")
    assert isinstance(build_resources(Home(tmp_path))["mapped"], SparkMap)
