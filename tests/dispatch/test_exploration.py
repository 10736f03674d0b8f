"""The chances of the arms: that they are chances, that arms are taken with them, that they are those of the posteriors."""

from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lifecycle_assets.dispatch.exploration import Choice, choose
from lifecycle_assets.settings import Exploration


def keys(n: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**60, n, dtype=np.uint64)


def chosen(
    scores: np.ndarray,
    log_sd: np.ndarray | float = 0.5,
    factors: np.ndarray | None = None,
    random: np.ndarray | None = None,
    in_force: int = 0,
    **more: float,
) -> Choice:
    """The choice by scores (ranking x customer x arm), where each arm has one uncertain factor of its own."""
    shape = (*scores.shape[1:], 1)
    own = np.broadcast_to(np.arange(scores.shape[2])[:, None], shape) if factors is None else factors
    sd = np.broadcast_to(np.asarray(log_sd, float), shape).copy()
    return choose(
        scores,
        np.ones(scores.shape[0]),
        sd,
        own,
        keys(scores.shape[1]) if random is None else random,
        in_force,
        Exploration(**more),  # type: ignore[arg-type]
    )


SCORES = hnp.arrays(float, (2, 3, 4), elements=st.sampled_from([0.0, 0.001, 0.3, 0.5, 0.500001, 4.0]))


@settings(max_examples=60, deadline=None)
@given(SCORES, st.floats(0, 1), st.floats(0, 0.05), st.floats(0, 3))
def test_the_chances_add_up_to_one_and_none_is_below_its_floor(
    scores: np.ndarray, share: float, eps: float, log_sd: float
) -> None:
    choice = chosen(scores, log_sd, share=share, eps=eps, draws=16)
    possible = scores > 0
    some = np.asarray(possible.any(axis=2))
    assert choice.pi.sum(axis=2)[some] == pytest.approx(1)
    assert (choice.pi[~possible] == 0).all()
    assert (choice.pi[possible] >= share * eps - 1e-12).all()
    assert (choice.pi[possible.sum(axis=2, keepdims=True) * possible == 1] == 1).all()
    none = np.flatnonzero(~some[0])
    assert (choice.taken[none] == -1).all()
    taken = np.flatnonzero(some[0])
    assert (choice.pi[0, taken, choice.taken[taken]] > 0).all()


def test_arms_are_taken_as_often_as_their_chances_say() -> None:
    n = 200_000
    scores = np.broadcast_to(np.array([1.0, 1.2, 0.0, 0.9, 0.4]), (1, n, 5)).copy()
    choice = chosen(scores, share=0.5, eps=0.03, draws=16)
    taken = np.bincount(choice.taken, minlength=5) / n
    # The standard error of each frequency around the mean of the chances is at most .5 / sqrt(n) = .0011.
    assert taken == pytest.approx(choice.pi[0].mean(axis=0), abs=0.0045)
    for arm in (0, 1, 3, 4):
        # Not only on the average: customers whose draws favoured the arm take it more often.
        favoured = choice.pi[0, :, arm] > np.median(choice.pi[0, :, arm])
        expected = choice.pi[0, favoured, arm].mean()
        assert (choice.taken[favoured] == arm).mean() == pytest.approx(expected, abs=4 * 0.5 / sqrt(favoured.sum()))


def test_the_chance_to_be_best_is_that_of_log_normal_responses() -> None:
    n, draws, sds = 20_000, 32, np.array([0.3, 0.8])
    scores = np.broadcast_to(np.array([1.0, 1.3]), (1, n, 2)).copy()
    choice = chosen(scores, sds[:, None], share=1, eps=0, draws=draws)
    ahead = np.log(1.3) - sds[1] ** 2 / 2 + sds[0] ** 2 / 2
    expected = NormalDist().cdf(ahead / sqrt((sds**2).sum()))
    assert choice.pi[0, :, 1].mean() == pytest.approx(expected, abs=4 * 0.5 / sqrt(n * draws))


def test_what_arms_share_does_not_set_them_apart() -> None:
    scores = np.broadcast_to(np.array([1.0, 1.01]), (1, 50, 2)).copy()
    same_channel = np.zeros((50, 2, 1), int)
    choice = chosen(scores, 2.0, same_channel, share=1, eps=0)
    assert (choice.pi[0] == [0, 1]).all()


def test_without_exploration_the_best_is_taken_and_of_equal_ones_the_first() -> None:
    scores = np.array([[[0.1, 0.3, 0.3], [0.2, 0.1, 0.0], [0.0, 0.0, 0.0]]])
    choice = chosen(scores, share=0)
    assert choice.taken.tolist() == [1, 0, -1]
    assert choice.pi[0].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert not choice.explores.any()


def test_each_ranking_has_its_own_chances_and_one_decides() -> None:
    scores = np.array([[[1.0, 2.0]], [[2.0, 1.0]]])
    for in_force, best in ((0, 1), (1, 0)):
        choice = chosen(scores, in_force=in_force, share=0)
        assert choice.taken.tolist() == [best]
        assert choice.pi[:, 0].tolist() == [[0, 1], [1, 0]]


def test_a_customers_chances_do_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(5)
    scores, random = rng.random((2, 500, 6)), keys(500)
    order = rng.permutation(500)
    together = chosen(scores, random=random, share=0.5)
    shuffled = chosen(scores[:, order], random=random[order], share=0.5)
    alone = chosen(scores[:, :1], random=random[:1], share=0.5)
    assert (shuffled.pi == together.pi[:, order]).all()
    assert (shuffled.taken == together.taken[order]).all()
    assert (alone.pi == together.pi[:, :1]).all()


VALUES = hnp.arrays(float, (7, 3), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 0.7, 2.0]))


@settings(max_examples=60, deadline=None)
@given(VALUES, st.lists(st.integers(0, 3), min_size=7, max_size=7), st.integers(2, 8))
def test_the_shortlist_holds_the_best_of_each_group_and_then_the_best_of_the_rest(
    values: np.ndarray, group: list[int], most: int
) -> None:
    from lifecycle_assets.dispatch.exploration_kernel import best_few

    found = best_few(values, np.array(group), most)
    for places, own in zip(found, values.T, strict=True):
        best = sorted((a for a in range(7) if own[a] > -np.inf), key=lambda a: -own[a])
        leaders = [next(a for a in best if group[a] == g) for g in dict.fromkeys(group[a] for a in best)]
        few = [*leaders, *(a for a in best if a not in leaders)][:most]
        assert [a for a in places if a >= 0] == sorted(few, key=best.index)
        assert (np.diff(places < 0).astype(int) >= 0).all()
