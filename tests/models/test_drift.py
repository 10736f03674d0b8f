"""Drift is told where the world has moved, and not where it has not."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.models.classifier import Trained
from lifecycle_assets.models.classifier_calibration import Calibration
from lifecycle_assets.models.classifier_encoding import Encoding
from lifecycle_assets.models.classifier_model import Classifier
from lifecycle_assets.models.drift import ALPHA, Drift, by_chance, calibration, described, moved, psi

NUMBERS, CATEGORIES = ("spend", "visits", "gap"), ("country",)


class Straight:
    """A model that is a straight line."""

    def log_odds(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[:, 0].astype(float) / 50 - 1


def _world(
    rng: np.random.Generator, n: int, spend: float = 1.0, spain: float = 0.5, missing: float = 0.3
) -> pl.DataFrame:
    """Customers with a skewed number, a small count, a number that is often missing, and a category."""
    return pl.DataFrame(
        {
            "spend": rng.gamma(2.0, 20.0 * spend, n),
            "visits": rng.poisson(1.2, n).astype(float),
            "gap": np.where(rng.random(n) < missing, np.nan, rng.normal(size=n)),
            "country": np.where(
                rng.random(n) < spain, "ES", rng.choice(["FR", "PT", "", "AD"], n, p=[0.5, 0.3, 0.19, 0.01])
            ),
        }
    ).with_columns(pl.col("gap").fill_nan(None), pl.col("country").replace("", None))


def _model(rows: pl.DataFrame) -> Classifier:
    encoding = Encoding.fit(rows, NUMBERS, CATEGORIES)
    straight = Straight()
    line = Calibration.fit(straight.log_odds(encoding.matrix(rows)), np.arange(rows.height) % 3 == 0)
    return Classifier("logistic", encoding, straight, line)  # type: ignore[arg-type]


def _card(rows: pl.DataFrame, model: Classifier) -> dict[str, Any]:
    plain = {"features": {"numbers": list(NUMBERS), "categories": list(CATEGORIES)}}
    return described(Trained(pl.DataFrame(), model, True, "", plain), rows).card


def _night(card: dict[str, Any], model: Classifier, rows: pl.DataFrame, least: float = 0.2) -> pl.DataFrame:
    made = moved("churn_risk", card, model, rows, least)
    Drift.require(Drift.conform(made.with_columns(shop_id=pl.lit("s"), as_of=pl.date(2025, 1, 1)).lazy()).collect())
    return made


@pytest.fixture(scope="module")
def trained() -> tuple[dict[str, Any], Classifier]:
    rows = _world(np.random.default_rng(31), 3000)
    model = _model(rows)
    return _card(rows, model), model


def test_the_index_is_what_is_computed_by_hand() -> None:
    then, now = np.array([10, 30, 60]), np.array([20, 20, 10])
    p, q = [10.5 / 101.5, 30.5 / 101.5, 60.5 / 101.5], [20.5 / 51.5, 20.5 / 51.5, 10.5 / 51.5]
    assert psi(then, now) == pytest.approx(sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True)))
    assert psi(then, then) == 0


def test_the_night_of_training_has_not_moved(trained: tuple[dict[str, Any], Classifier]) -> None:
    rows = _world(np.random.default_rng(31), 3000)
    made = _night(*trained, rows)
    assert made["name"].to_list() == [*NUMBERS, *CATEGORIES, "probability"]
    assert made["statistic"].to_list() == [0.0] * 5
    assert made["n"].unique().to_list() == made["n_trained"].unique().to_list() == [3000]


def test_bins_hold_a_tenth_each_and_missing_its_own(trained: tuple[dict[str, Any], Classifier]) -> None:
    features = trained[0]["distributions"]["features"]
    assert features["spend"]["counts"] == [300] * 10 + [0]
    *there, missing = features["gap"]["counts"]
    assert missing == pytest.approx(900, abs=100) and sum(there) == 3000 - missing
    assert max(there) - min(there) <= 1
    # Of a small count several tenths end at one value; a rare level is among the others.
    assert features["visits"]["edges"] == [0.0, 1.0, 2.0, 3.0]
    assert features["country"]["levels"] == ["(missing)", "ES", "FR", "PT"]


@pytest.mark.parametrize(
    ("change", "names", "told"),
    [
        ({"spend": 2.0}, {"spend", "probability"}, "of the rows, 10.0% on the night of training"),
        ({"spain": 0.2}, {"country"}, "ES: "),
        ({"missing": 0.7}, {"gap"}, "missing: "),
    ],
)
def test_a_planted_change_is_told_where_it_is_and_nowhere_else(
    change: dict[str, float], names: set[str], told: str, trained: tuple[dict[str, Any], Classifier]
) -> None:
    made = _night(*trained, _world(np.random.default_rng(32), 3000, **change))
    drifted = made.filter("is_drifted")
    assert set(drifted["name"]) == names
    assert drifted["note"].str.contains(told, literal=True).all()
    assert made.filter(~pl.col("is_drifted"))["note"].null_count() == 5 - len(names)


@pytest.mark.parametrize(("then", "now"), [(3000, 3000), (3000, 60), (150, 3000), (80, 40)])
def test_nights_of_the_same_world_are_not_called_drifted(then: int, now: int) -> None:
    """Without the least index that counts, chance alone sets the threshold: one night of a thousand, over all features."""
    rng = np.random.default_rng(then + now)
    false, nights = 0, 200
    for _ in range(nights):
        rows = _world(rng, then)
        model = _model(rows)
        made = _night(_card(rows, model), model, _world(rng, now), least=0.0)
        false += made.filter(kind="feature")["is_drifted"].any()
    # Three standard errors above one in a thousand.
    assert false / nights <= ALPHA + 3 * math.sqrt(ALPHA / nights)


def test_the_index_of_an_unchanged_world_is_distributed_as_said() -> None:
    rng = np.random.default_rng(33)
    shares = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    found = [psi(rng.multinomial(800, shares), rng.multinomial(400, shares)) for _ in range(40_000)]
    assert np.mean(np.array(found) > by_chance(5, 800, 400, 1)) == pytest.approx(
        ALPHA, abs=3 * math.sqrt(ALPHA / 40_000)
    )
    assert np.mean(found) == pytest.approx(4 * (1 / 800 + 1 / 400), rel=0.05)


def test_calibration_is_told_when_it_is_off_and_not_when_it_is_right() -> None:
    rng = np.random.default_rng(34)
    false = 0
    for _ in range(2000):
        chance = rng.beta(1, 5, 400)
        made = calibration("churn_risk", chance, rng.random(400) < chance)
        Drift.require(Drift.conform(made.with_columns(shop_id=pl.lit("s"), as_of=pl.date(2025, 1, 1)).lazy()).collect())
        false += made["is_drifted"].item()
    assert false / 2000 <= ALPHA + 3 * math.sqrt(ALPHA / 2000)
    chance = rng.beta(1, 5, 4000)
    off = calibration("churn_risk", chance, rng.random(4000) < 1.5 * chance)
    assert off["is_drifted"].item()
    assert off["statistic"].item() == pytest.approx(0.5, abs=0.1)
    assert "was foretold" in off["note"].item()


def test_what_cannot_be_told_says_why(trained: tuple[dict[str, Any], Classifier]) -> None:
    card, model = trained
    rows = _world(np.random.default_rng(35), 10)
    assert _night({"features": card["features"]}, model, rows)["note"].item() == (
        "The model was trained before distributions were kept."
    )
    assert _night(card, model, rows.clear())["note"].item() == "Nobody is scored tonight."
    assert (
        calibration("churn_risk", np.empty(0), np.empty(0, bool))["note"].item()
        == "No score of this version is old enough yet."
    )
