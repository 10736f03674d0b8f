"""The measures agree with other libraries and with hand-worked lists; the holdout finds the planted truth and nothing leaks."""

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from implicit.evaluation import ranking_metrics_at_k
from product_shop import AS_OF, SHOP, order_lines, shop, with_future
from scipy.sparse import csr_matrix
from sklearn.metrics import ndcg_score

from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.models.recommendation_evaluation import (
    RecommendationEvaluation,
    per_user,
    recommendation_evaluation,
)
from lifecycle_assets.settings import Recommendations

SETTINGS = Recommendations(factors=8, iterations=10)
SPLIT = AS_OF - dt.timedelta(days=SETTINGS.horizon_days)


def evaluated(lines: pl.LazyFrame, goods: pl.LazyFrame, settings: Recommendations = SETTINGS) -> pl.DataFrame:
    made = recommendation_evaluation(lines, goods, SHOP, AS_OF, settings, 0)
    RecommendationEvaluation.require(RecommendationEvaluation.conform(made.lazy()).collect())
    return made


def test_a_list_worked_by_hand() -> None:
    # Wanted: 1, 5, 9; listed: 5, 2, 1 and nothing more. Hits on places 1 and 3.
    wanted = csr_matrix(np.isin(np.arange(12), [1, 5, 9])[None, :].astype(np.float32))
    listed = np.full((1, 10), -1)
    listed[0, :3] = [5, 2, 1]
    recall, precision, ndcg = per_user(listed, wanted)
    assert recall[0] == pytest.approx(2 / 3)
    assert precision[0] == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert ndcg[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2))


@given(st.integers(0, 10_000))
def test_ndcg_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gains = (rng.random((5, 40)) < 0.3).astype(float)
    gains[:, 0] = 1
    scores = rng.permuted(np.tile(np.arange(40.0), (5, 1)), axis=1)
    ndcg = per_user(np.argsort(-scores, axis=1)[:, :10], csr_matrix(gains))[2]
    assert ndcg.mean() == pytest.approx(ndcg_score(gains, scores, k=10))


class _Ranks:
    """Hands fixed lists to implicit's evaluation."""

    def __init__(self, listed: np.ndarray) -> None:
        self.listed = listed

    def recommend(self, users: np.ndarray, *_: object, **__: object) -> tuple[np.ndarray, None]:
        return self.listed[users], None


def test_map_and_ndcg_are_those_of_implicit() -> None:
    rng = np.random.default_rng(3)
    wanted = csr_matrix((rng.random((200, 60)) < 0.1).astype(np.float32))
    wanted = wanted[wanted.getnnz(axis=1) > 0]
    listed = np.argsort(rng.random(wanted.shape), axis=1)[:, :10].astype(np.int32)
    theirs = ranking_metrics_at_k(_Ranks(listed), wanted, wanted, K=10, show_progress=False, num_threads=1)
    _, precision, ndcg = per_user(listed, wanted)
    assert precision.mean() == pytest.approx(theirs["map"])
    assert ndcg.mean() == pytest.approx(theirs["ndcg"])


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return evaluated(*shop())


def test_taste_is_found(table: pl.DataFrame) -> None:
    score = dict(table.select("model", "ndcg_at_10").rows())
    # Customers of one taste buy the other products of that taste, whose names share its word.
    assert score["als"] > score["popular"] + 0.1
    assert score["content"] > score["popular"] + 0.1
    assert table.filter("chosen")["model"].to_list() == ["als"]
    inside = table.select((pl.col("ndcg_lo") <= pl.col("ndcg_at_10")) & (pl.col("ndcg_at_10") <= pl.col("ndcg_hi")))
    assert inside.to_series().all()


def test_habits_are_found() -> None:
    """Everyone buys three products of their own, drawn blindly, every three weeks, and another one at random."""
    rng = np.random.default_rng(2)
    rows = []
    for customer in range(150):
        ages = np.arange(int(rng.integers(0, 21)), 360, 21)
        for item in rng.choice(120, 3, replace=False):
            rows += [(f"C{customer:04d}", f"p{item:03d}", int(age)) for age in ages]
        rows += [(f"C{customer:04d}", f"p{rng.integers(120):03d}", int(age)) for age in ages]
    bought = pl.DataFrame(rows, schema=["customer_id", "product_id", "age"], orient="row")
    rest = order_lines().head(1).drop("customer_id", "product_id", "order_date", "line_no")
    lines = bought.with_columns(order_date=pl.lit(AS_OF) - pl.duration(days="age")).drop("age").join(rest, how="cross")
    table = evaluated(*shop(lines.with_columns(line_no=pl.int_range(1, pl.len() + 1))))
    score = dict(table.select("model", "ndcg_at_10").rows())
    assert score["buy_again"] > 0.6
    assert score["buy_again"] > score["als"] + 0.1 > score["popular"] + 0.2
    assert table.filter("chosen")["model"].item() in {"buy_again", "blend"}


def test_what_came_after_the_split_changes_the_targets_only() -> None:
    """Lists are learnt before the split: moving later purchases to another customer leaves coverage and novelty alone."""
    lines = order_lines()
    late = pl.col("order_date") > SPLIT
    swapped = lines.with_columns(pl.when(late).then(pl.col("product_id").reverse()).otherwise("product_id"))
    before, after = evaluated(*shop(lines)), evaluated(*shop(swapped))
    assert before.select("model", "coverage", "novelty").equals(after.select("model", "coverage", "novelty"))
    assert not before["ndcg_at_10"].equals(after["ndcg_at_10"])


def test_without_anyone_who_came_back_nothing_is_measured() -> None:
    early = order_lines().filter(pl.col("order_date") <= SPLIT)
    table = evaluated(*shop(early))
    assert table["ndcg_at_10"].null_count() == table.height
    assert table.filter("chosen")["model"].to_list() == ["als"]
    assert "not measured" in table.filter("chosen")["note"].item()
    few = early.filter(pl.col("customer_id") < "C0010")
    assert evaluated(*shop(few)).filter("chosen")["model"].to_list() == ["content"]


def test_a_shop_without_purchases_has_an_empty_table() -> None:
    made = recommendation_evaluation(OrderLines.empty().lazy(), Products.empty().lazy(), SHOP, AS_OF, SETTINGS, 0)
    assert made.equals(RecommendationEvaluation.empty())


def test_the_same_whatever_the_order_of_rows(table: pl.DataFrame) -> None:
    assert evaluated(*shop(order_lines().sample(fraction=1, shuffle=True, seed=4))).equals(table)


def test_what_comes_after_as_of_changes_nothing(table: pl.DataFrame) -> None:
    assert evaluated(*shop(with_future(order_lines()))).equals(table)
