"""Qini and AUUC: by hand, what must not matter, and how often the intervals hold the truth."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from uplift_world import world

from lifecycle_assets.models.uplift_curve import Ranking, Responses, areas, curve, resampled_areas


def plain(treated: list[int], response: list[int]) -> Responses:
    return Responses(np.array(treated), np.array(response), np.ones(len(treated)))


def test_four_customers_by_hand() -> None:
    # By score: treated with a response, control without, treated without, control with.
    # gain    0, .5, .5, 0    at shares .25, .5, .75, 1: trapezoids 0 + .0625 + .125 + .0625 = .25, random line 0
    # uplift  0, .5, .375, 0  trapezoids 0 + .0625 + .109375 + .046875 = .21875
    responses = plain([0, 1, 1, 0], [1, 0, 1, 0])
    ranking = Ranking.of(np.array([1.0, 2.0, 9.0, 3.0]))
    np.testing.assert_allclose(areas([ranking], responses), [[0.25, 0.21875]])
    points = curve(ranking, responses)
    np.testing.assert_allclose(points[[0, 25, 50, 75, 100], 1], [0, 0, 0.5, 0.5, 0])
    np.testing.assert_allclose(points[[0, 25, 50, 75, 100], 2], [0, 0, 0.5, 0.375, 0])


def test_equal_scores_are_a_random_order() -> None:
    given_ = world(500, 1)
    responses = Responses(given_.treated, given_.response, np.ones(500))
    ((qini, auuc),) = areas([Ranking.of(np.zeros(500))], responses)
    effect = given_.response[given_.treated == 1].mean() - given_.response[given_.treated == 0].mean()
    assert abs(qini) < 1e-12
    assert np.isclose(auuc, effect / 2)


CUSTOMERS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(-3, 3)), min_size=4, max_size=40
).filter(lambda rows: {row[0] for row in rows} == {0, 1})


@given(rows=CUSTOMERS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_what_must_not_matter(rows: list[tuple[int, int, int]], seed: int) -> None:
    treated, response, score = np.array(rows).T
    weight = np.ones(treated.size)
    found = areas([Ranking.of(score.astype(float))], Responses(treated, response, weight))
    shuffled = np.random.default_rng(seed).permutation(treated.size)
    stretched = np.exp(score[shuffled] / 2.0)
    others = {
        "order of rows, scale of the score": (stretched, treated[shuffled], response[shuffled], weight),
        "unit of the weights": (score, treated, response, weight * 7),
        "everybody twice": (*(np.tile(v, 2) for v in (score, treated, response, weight)),),
    }
    for name, (s, t, r, w) in others.items():
        np.testing.assert_allclose(
            areas([Ranking.of(np.asarray(s, float))], Responses(t, r, w)), found, atol=1e-9, err_msg=name
        )


def test_the_interval_of_a_given_score_holds_the_truth_as_often_as_it_says() -> None:
    # With the true effect as the score, Qini of a million customers is the truth.
    many = world(1_000_000, 9)
    ((true, _),) = areas([Ranking.of(many.effect)], Responses(many.treated, many.response, np.ones(many.treated.size)))
    hits = 0
    for seed in range(200):
        drawn = world(400, 1000 + seed)
        rankings = [Ranking.of(drawn.effect)]
        responses = Responses(drawn.treated, drawn.response, np.ones(400))
        error = resampled_areas(rankings, responses, np.random.default_rng(seed))[:, 0, 0].std()
        hits += abs(areas(rankings, responses)[0, 0] - true) < 1.96 * error
    # 190 are expected; fewer than 181 or more than 198 would come once in a thousand times.
    assert 181 <= hits <= 198


def test_weights_undo_an_assignment_by_need() -> None:
    at_random, by_need = world(60_000, 2), world(60_000, 2, confounding=1.5)
    propensity = 1 / (1 + np.exp(-1.5 * by_need.features[:, 0]))
    weight = 1 / np.where(by_need.treated == 1, propensity, 1 - propensity)
    score = [Ranking.of(by_need.features[:, 0])]
    fair = areas(
        [Ranking.of(at_random.features[:, 0])], Responses(at_random.treated, at_random.response, np.ones(60_000))
    )
    weighed = areas(score, Responses(by_need.treated, by_need.response, weight))
    naive = areas(score, Responses(by_need.treated, by_need.response, np.ones(60_000)))
    assert abs(weighed[0, 1] - fair[0, 1]) < 0.01
    assert abs(naive[0, 1] - fair[0, 1]) > 0.05
