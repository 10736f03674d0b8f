"""The uplift forest: the trees of causalml, and planted effects."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from uplift_world import grid, world

from lifecycle_assets.models import uplift_forest_kernel as kernel
from lifecycle_assets.models.uplift_curve import Ranking, Responses, areas, resampled_areas
from lifecycle_assets.models.uplift_forest import UpliftForest, binned, closing_values

# causalml 0.18.0, UpliftTreeClassifier(control_name="c", max_depth=5, min_samples_leaf=100, min_samples_treatment=10, n_reg=10)
# on grid(4000): response rate of control and treated in each leaf, and the customers of the leaves with these rates.
CAUSALML_LEAVES = [
    (0.205479, 0.107143, 129), (0.216216, 0.509091, 129), (0.219178, 0.500000, 129), (0.270270, 0.527273, 129),
    (0.283784, 0.300000, 258), (0.297297, 0.327273, 129), (0.302721, 0.441441, 516), (0.337838, 0.563636, 129),
    (0.344294, 0.346253, 904), (0.380952, 0.644144, 516), (0.391892, 0.272727, 129), (0.391892, 0.345455, 129),
    (0.432432, 0.381818, 129), (0.435374, 0.369369, 258), (0.472973, 0.690909, 129), (0.500000, 0.754545, 258),
]  # fmt: skip


def one_tree(features: np.ndarray, treated: np.ndarray, response: np.ndarray) -> np.ndarray:
    """The rates of control and treated that one tree on all rows and features gives each row."""
    bins = binned(features, [closing_values(column) for column in features.T])
    feature, cut, rate = np.zeros(64, np.int64), np.zeros(64, np.int64), np.zeros((64, 2))
    cells = 2 * treated + response
    kernel.grow_tree(bins, cells, np.arange(cells.size), 5, 100, features.shape[1], feature, cut, rate)
    return kernel.read_forest(bins, feature[None], cut[None], rate[None])


def test_a_tree_has_the_leaves_that_causalml_finds() -> None:
    rates, sizes = np.unique(one_tree(*grid(4000)).round(6), axis=0, return_counts=True)
    np.testing.assert_allclose(np.column_stack([rates, sizes]), CAUSALML_LEAVES, atol=1e-6)


@pytest.mark.slow
def test_the_forest_ranks_as_well_as_causalmls() -> None:
    tree = pytest.importorskip("causalml.inference.tree", reason="the reference is not installed")
    learn, judge = world(4000, 1), world(4000, 2)
    ours = UpliftForest.fit(learn.features, learn.treated, learn.response, np.random.default_rng(0))
    theirs = tree.UpliftRandomForestClassifier("c", n_estimators=100, random_state=0)
    theirs.fit(X=learn.features, treatment=np.where(learn.treated == 1, "t", "c"), y=learn.response)
    rankings = [
        Ranking.of(ours.predict(judge.features)),
        Ranking.of(np.asarray(theirs.predict(judge.features))[:, 0].astype(float)),
    ]
    responses = Responses(judge.treated, judge.response, np.ones(judge.treated.size))
    qini = areas(rankings, responses)[:, 0]
    draws = resampled_areas(rankings, responses, np.random.default_rng(0))[:, :, 0]
    assert qini.min() > 0.03
    assert abs(qini[0] - qini[1]) < 1.96 * (draws[:, 0] - draws[:, 1]).std()


def test_a_planted_effect_is_found_on_customers_not_learnt_from() -> None:
    learn, judge = world(6000, 3), world(6000, 4)
    found = UpliftForest.fit(learn.features, learn.treated, learn.response, np.random.default_rng(0)).predict(
        judge.features
    )
    assert np.corrcoef(found, judge.effect)[0, 1] > 0.9
    assert abs(found.mean() - judge.effect.mean()) < 0.03


def test_being_unknown_can_tell_customers_apart() -> None:
    rng = np.random.default_rng(5)
    features, treated = rng.normal(size=(4000, 2)), rng.integers(0, 2, 4000)
    is_unknown = rng.random(4000) < 0.4
    features[is_unknown, 0] = np.nan
    response = (rng.random(4000) < 0.2 + 0.4 * treated * is_unknown).astype(np.int64)
    found = UpliftForest.fit(features, treated, response, np.random.default_rng(0)).predict(features)
    assert found[is_unknown].mean() > 0.3
    assert abs(found[~is_unknown].mean()) < 0.06


def test_forests_grown_beside_each_other_are_those_grown_alone() -> None:
    made = [world(1500, seed) for seed in range(4)]

    def scores(number: int) -> np.ndarray:
        given = made[number]
        forest = UpliftForest.fit(given.features, given.treated, given.response, np.random.default_rng(number))
        return forest.predict(given.features)

    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(scores, range(4)))
    for number in range(4):
        np.testing.assert_array_equal(beside[number], scores(number))
