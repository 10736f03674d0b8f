"""Training against planted truth: as good as can be, calibrated, honest about worthless models, the same on every run."""

import json

import numpy as np
import polars as pl
import pytest
from planted_classes import CATEGORIES, NUMBERS, last, planted, training_set
from sklearn.metrics import roc_auc_score

from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.models.classifier import Classifier, Trained, TrainingSet, train
from lifecycle_assets.models.classifier_evaluation import EvaluationColumns
from lifecycle_assets.settings import Scores
from lifecycle_assets.settings.scores import CandidateName

QUICK = Scores(candidates=("logistic", "xgboost"), folds=3)


def _train(data: TrainingSet, settings: Scores = QUICK, seed: int = 1) -> Trained:
    return train(data, settings, np.random.default_rng(seed))


def _row(trained: Trained, candidate: str, split: str = "out_of_time", target: str = "all") -> dict:
    return trained.evaluation.row(
        by_predicate=(pl.col("candidate") == candidate) & (pl.col("split") == split) & (pl.col("target") == target),
        named=True,
    )


def _chosen(trained: Trained, split: str = "out_of_time") -> dict:
    return trained.evaluation.row(by_predicate=pl.col("chosen") & (pl.col("split") == split), named=True)


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return planted(3_000)


@pytest.fixture(scope="module")
def trained(rows: pl.DataFrame) -> Trained:
    return _train(training_set(rows), Scores())


@pytest.fixture(scope="module")
def interacting() -> tuple[pl.DataFrame, Trained]:
    rows = planted(4_000, interactions=True)
    return rows, _train(training_set(rows), Scores(candidates=("logistic", "xgboost", "catboost")))


def test_the_winner_orders_the_last_snapshot_nearly_as_well_as_the_true_probabilities(
    rows: pl.DataFrame, trained: Trained, interacting: tuple[pl.DataFrame, Trained]
) -> None:
    for data, made in ((rows, trained), interacting):
        best = roc_auc_score(last(data)["label"], last(data)["true"])
        assert _chosen(made)["roc_auc"] == pytest.approx(best, abs=0.01)
        assert made.is_usable
    assert _row(interacting[1], "logistic", "cv")["note"].startswith("Left the race")


@pytest.mark.parametrize("interactions", [False, True])
def test_probabilities_of_new_customers_are_the_true_ones(
    trained: Trained, interacting: tuple[pl.DataFrame, Trained], interactions: bool
) -> None:
    """The final model has seen every snapshot: its calibration is measured on a fresh draw, against the true probabilities, so
    that the noise of labels is not in it."""
    model = (interacting[1] if interactions else trained).model
    assert model is not None
    new = planted(20_000, snapshots=1, interactions=interactions, seed=7)
    probability, true = model.probability(new), new["true"].to_numpy()
    bins = np.array_split(np.argsort(probability), 10)
    assert np.mean([abs(probability[part].mean() - true[part].mean()) for part in bins]) < 0.02
    assert abs(probability.mean() - true.mean()) < 0.01


def test_a_label_without_any_relation_is_told_to_be_worthless(rows: pl.DataFrame) -> None:
    worthless = 0
    for seed in range(4):
        shuffled = rows.with_columns(pl.col("label").shuffle(seed))
        made = _train(training_set(shuffled), seed=seed)
        out_of_time = _chosen(made)
        assert out_of_time["roc_auc"] == pytest.approx(0.5, abs=0.04)
        if out_of_time["roc_auc_lo"] <= 0.5:
            worthless += 1
            assert not made.is_usable
            assert "Worthless" in made.note and "no better than chance" in made.note
            assert not made.evaluation["is_used"].any()
    assert worthless >= 3  # an interval of 95 % may miss once in a while


def test_a_model_that_adds_nothing_to_the_simple_rule_is_not_used() -> None:
    rng = np.random.default_rng(3)
    rows = planted(1_500).with_columns(true=1 / (1 + (-1.5 * pl.col("recency")).exp()))
    rows = rows.with_columns(label=pl.Series(rng.random(rows.height)) < pl.col("true"))
    blind = _train(training_set(rows, numbers=("share", "visits", "amount"), categories=()))
    assert not blind.is_usable and "no better than chance" in blind.note
    # The rule knows the one thing that counts; the model has only a blurred copy of it.
    blurred = rows.with_columns(blurred=pl.col("recency") + pl.Series(rng.normal(size=rows.height)))
    weaker = _train(training_set(blurred, numbers=("blurred",), categories=()))
    assert _chosen(weaker)["roc_auc_lo"] > 0.5
    assert not weaker.is_usable and "not shown to be better than the rule" in weaker.note


def test_a_lead_over_the_simple_rule_that_may_be_luck_is_no_lead() -> None:
    """Only what the rule knows counts: half of such models lead it by chance, about one in twenty for sure."""
    used, led = 0, 0
    for seed in range(12):
        rows = planted(800, seed=seed).with_columns(true=1 / (1 + (2 - pl.col("recency")).exp()))
        rows = rows.with_columns(label=pl.Series(np.random.default_rng(seed).random(rows.height)) < pl.col("true"))
        made = _train(training_set(rows, categories=()), Scores(candidates=("logistic",), folds=2), seed)
        used += made.is_usable
        led += made.card["gain_over_baseline"]["value"] > 0
    assert led > used
    assert used <= 2


def test_the_evaluation_is_of_its_contract_and_says_who_was_tested_on_what(
    rows: pl.DataFrame, trained: Trained
) -> None:
    report = trained.evaluation
    expected = [name for name in EvaluationColumns.columns() if name not in ("shop_id", "as_of")]
    assert report.columns == expected
    assert set(report["candidate"]) == {"logistic", "random_forest", "xgboost", "catboost", "baseline"}
    out_of_time = report.filter(pl.col("split") == "out_of_time")
    assert set(out_of_time["test_rows"]) == {last(rows).height}
    assert set(out_of_time["train_rows"]) == {rows.height - last(rows).height}
    assert out_of_time["positive_rate"].to_list() == pytest.approx([last(rows)["label"].mean()] * out_of_time.height)
    assert (out_of_time["roc_auc_lo"] < out_of_time["roc_auc"]).all()
    assert report.filter("chosen")["candidate"].n_unique() == 1
    assert trained.note in report["note"].to_list()
    finished = report.filter((pl.col("split") == "cv") & (pl.col("test_rows") == rows.height - last(rows).height))
    assert finished["roc_auc_sd"].null_count() == 0
    json.dumps(trained.card, allow_nan=False)


def test_targets_have_rows_of_their_own() -> None:
    rows = planted(1_500).with_columns(target=pl.Series(["p1", "p2", "p3"] * 2_000))
    made = _train(training_set(rows))
    best = _chosen(made, "cv")["candidate"]
    ours = [_row(made, best, target=f"p{number}") for number in (1, 2, 3)]
    assert sum(row["test_rows"] for row in ours) == 1_500
    assert all(row["roc_auc_lo"] < row["roc_auc"] < row["roc_auc_hi"] for row in ours)
    assert _row(made, "baseline", target="p1")["test_rows"] == 500
    # The verdict is on all of them together.
    assert made.evaluation.filter(pl.col("target") != "all")["is_used"].null_count() == 6
    assert _row(made, best)["is_used"] == made.is_usable


def test_rows_in_any_order_make_the_same_model(rows: pl.DataFrame) -> None:
    few = rows.filter(pl.col("group") < "c000800")
    for candidate in ("logistic", "xgboost", "catboost", "random_forest"):
        settings = Scores(candidates=(candidate,), folds=2)
        one, other = (
            _train(training_set(few), settings),
            _train(training_set(few.sample(fraction=1, shuffle=True, seed=5)), settings),
        )
        assert one.model is not None and other.model is not None
        assert one.model.files() == other.model.files()
        assert one.evaluation.drop("seconds").equals(other.evaluation.drop("seconds"))
        assert one.card == other.card


@pytest.mark.parametrize("candidate", ["logistic", "random_forest", "xgboost", "catboost"])
def test_what_is_stored_gives_the_same_probabilities_and_reasons(rows: pl.DataFrame, candidate: CandidateName) -> None:
    made = _train(training_set(rows.head(6_000)), Scores(candidates=(candidate,), folds=2)).model
    assert made is not None
    again = Classifier.load(made.files())
    assert np.array_equal(again.probability(rows), made.probability(rows))
    assert again.drivers(rows).equals(made.drivers(rows))
    assert again.files() == made.files()
    assert again.features == [*NUMBERS, *CATEGORIES]


def test_a_malformed_or_changed_file_is_refused(trained: Trained) -> None:
    assert trained.model is not None
    files = trained.model.files()
    (stored,) = [name for name in files if name != "classifier.json"]
    changed = bytearray(files[stored])
    changed[len(changed) // 2] ^= 1
    head = json.loads(files["classifier.json"])
    fewer = {**head, "encoding": {**head["encoding"], "levels": {}}}
    bad: list[dict[str, bytes]] = [
        {},
        {"classifier.json": files["classifier.json"]},
        {**files, stored: bytes(changed)},
        {**files, "classifier.json": b"not json"},
        {**files, "classifier.json": json.dumps({**head, "candidate": "os.system"}).encode()},
        {**files, "classifier.json": json.dumps(fewer).encode()},
        {
            **files,
            "classifier.json": json.dumps(
                {**head, "calibration": {"method": "isotonic", "at": [], "value": []}}
            ).encode(),
        },
    ]
    for broken in bad:
        with pytest.raises(LifecycleError, match="stored model"):
            Classifier.load(broken)


def test_twenty_rows_of_each_class_are_enough_and_nineteen_are_not() -> None:
    rows = planted(200, snapshots=2).with_row_index("number").with_columns(
        label=(pl.col("number") % 200 < 20) & (pl.col("snapshot") == pl.col("snapshot").min())
        | (pl.col("number") % 200 < 20) & (pl.col("snapshot") == pl.col("snapshot").max())
    )  # fmt: skip
    assert _train(training_set(rows)).model is not None
    for part in (0, 200):
        fewer = rows.with_columns(label=pl.col("label") & (pl.col("number") != part))
        made = _train(training_set(fewer))
        assert made.model is None and not made.is_usable
        assert "19 are positive (buys nothing for 90 days)" in made.note and "20 of each are needed" in made.note
        assert made.evaluation["note"].to_list() == [made.note]


def test_positives_of_a_handful_of_customers_teach_nothing() -> None:
    rows = planted(500).with_columns(label=pl.col("group") < "c000013")
    assert _train(training_set(rows), QUICK.model_copy(update={"min_class": 10})).note == (
        "Nothing was learnt: the rows of one class are of 13 customers; 14 are needed."
    )
    more = rows.with_columns(label=pl.col("group") < "c000014")
    few = Scores(min_class=10, folds=5)
    assert _train(training_set(more), few).model is not None


@pytest.mark.parametrize("kept", [pl.col("label"), ~pl.col("label"), pl.lit(False)])
def test_one_class_or_no_rows_teach_nothing(rows: pl.DataFrame, kept: pl.Expr) -> None:
    made = _train(training_set(rows.filter(kept)))
    assert made.model is None and made.note.startswith("Nothing was learnt")


def test_a_single_snapshot_holds_customers_out_and_says_so() -> None:
    made = _train(training_set(planted(2_500, snapshots=1)))
    assert made.is_usable and "not out of time" in made.note
    assert _chosen(made)["test_rows"] == pytest.approx(625, abs=2)


def test_empty_and_constant_features_do_no_harm(rows: pl.DataFrame) -> None:
    odd = rows.head(6_000).with_columns(
        empty=pl.lit(None, pl.Float64), same=pl.lit(3.0), void=pl.lit(None, pl.String), infinite=pl.lit(float("inf"))
    )
    made = _train(training_set(odd, (*NUMBERS, "empty", "same", "infinite"), (*CATEGORIES, "void")), Scores(folds=2))
    assert made.model is not None and made.is_usable
    assert np.isfinite(made.model.probability(odd)).all()
    told = made.model.importance(odd)
    assert told.filter(pl.col("feature").is_in(["empty", "same", "void", "infinite"]))["mean_abs_shap"].sum() == 0


def test_no_more_rows_are_learnt_from_than_allowed_and_customers_stay_whole(rows: pl.DataFrame) -> None:
    made = _train(training_set(rows), QUICK.model_copy(update={"training_rows": 4_001}))
    out_of_time = _chosen(made)
    assert out_of_time["train_rows"] + out_of_time["test_rows"] == 4_000
    assert out_of_time["train_rows"] == 3 * out_of_time["test_rows"]


def test_a_customer_with_too_many_rows_for_what_is_left_is_passed_over() -> None:
    rows = planted(1_500)
    machine = rows.with_columns(group=pl.lit("machine"))  # 6 000 rows of one group among those of 1 500 customers
    settings = QUICK.model_copy(update={"training_rows": 5_999, "candidates": ("logistic",), "folds": 2})
    for seed in range(3):
        assert _train(training_set(pl.concat([rows, machine])), settings, seed).card["rows"] == 5_996


def test_numbers_beyond_32_bits_are_learnt_from_like_others() -> None:
    rows = planted(500).with_columns(noise=pl.when(pl.col("noise") > 2).then(1e300).otherwise("noise"))
    made = _train(training_set(rows), Scores(folds=2))
    assert made.model is not None
    assert np.isfinite(made.model.probability(rows)).all()


def test_scoring_no_rows_gives_no_rows(rows: pl.DataFrame, trained: Trained) -> None:
    assert trained.model is not None
    assert trained.model.probability(rows.clear()).shape == (0,)
    assert trained.model.drivers(rows.clear()).height == 0
