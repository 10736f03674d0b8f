"""The value of a policy from another one's decisions: on simulated customers whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_world import K, Shop, policy, shop

from lifecycle_assets.models import off_policy
from lifecycle_assets.models.off_policy import Estimate, Logged

CUSTOMERS = 30_000
# The policy in force thinks too much of large discounts, and too little of the other channels.
TILT = np.array([0.5, 1.0, 0.6, 0.9, 0.8, 0.8])


@pytest.fixture(scope="module")
def world() -> Shop:
    return shop(CUSTOMERS)


def spread(world: Shop, share: float, customers: int, each: int, runs: int) -> dict[str, np.ndarray]:
    """How often (first) each interval holds the truth in so many runs, and the standard deviation of the estimates."""
    logging, target = policy(world.expected * TILT, share), policy(world.expected, share)
    truth = world.value(target)
    held: dict[str, list[bool]] = {}
    values: dict[str, list[float]] = {}
    for run in range(runs):
        rng = np.random.default_rng(run)
        who = np.repeat(rng.choice(CUSTOMERS, customers, replace=False), each)
        log, own = world.logs(logging, (target, logging), who, rng)
        single = replace(log, customer=np.arange(who.size))
        made = {
            "ips": (off_policy.ips(log), truth),
            "snips": (off_policy.snips(log), truth),
            "dr": (off_policy.doubly_robust(log), truth),
            "dr of single decisions": (off_policy.doubly_robust(single), truth),
            "gain": (off_policy.gain(log, own), truth - world.value(logging)),
        }
        for name, (estimate, true) in made.items():
            held.setdefault(name, []).append(estimate.lo <= true <= estimate.hi)
            values.setdefault(name, []).append(estimate.value)
    return {name: np.array([np.mean(held[name]), np.std(values[name])]) for name in held}


@pytest.mark.slow
@pytest.mark.parametrize(("customers", "each"), [(8000, 1), (2000, 5)])
def test_intervals_hold_the_truth_in_95_of_100_shops(world: Shop, customers: int, each: int) -> None:
    found = spread(world, 0.5, customers, each, runs=1000)
    # The Monte Carlo error of a share of .95 in 1,000 runs is .007.
    for name in ("ips", "snips", "dr", "gain"):
        assert 0.93 <= found[name][0] <= 0.97, (name, found)
    assert found["dr"][1] < 0.97 * found["ips"][1]
    assert found["gain"][1] < 0.9 * found["dr"][1], "the noise that both have in common is taken off"


@pytest.mark.slow
def test_decisions_of_one_customer_are_not_independent(world: Shop) -> None:
    found = spread(world, 1.0, 400, 20, runs=300)
    assert found["dr"][0] >= 0.91
    assert found["dr of single decisions"][0] < 0.85


def test_a_wrong_expectation_costs_width_and_not_truth(world: Shop) -> None:
    rng = np.random.default_rng(3)
    wrong = replace(world, expected=rng.normal(size=world.expected.shape) * 10)
    logging, target = policy(world.expected * TILT), policy(world.expected)
    errors = []
    for _ in range(60):
        log = wrong.log(logging, target, rng.choice(CUSTOMERS, 5000, replace=False), rng)
        estimate = off_policy.doubly_robust(log)
        errors.append((estimate.value - world.value(target)) / estimate.error)
    assert abs(np.mean(errors)) < 3 / np.sqrt(60)


def test_a_reward_on_the_line_of_what_was_expected_is_known_without_noise() -> None:
    rng = np.random.default_rng(0)
    taken, expected = rng.normal(size=(2, 200))
    log = Logged(rng.integers(0, 40, 200), 3 + 2 * taken, taken, expected, rng.gamma(1.0, 1.0, 200))
    assert off_policy.doubly_robust(log).value == pytest.approx(float((3 + 2 * expected).mean()))


def test_standard_errors_agree_with_statsmodels(world: Shop) -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(1)
    who = rng.integers(0, 300, 2000)
    log = world.log(policy(world.expected * TILT), policy(world.expected), who, rng)
    ones = np.ones_like(log.reward)
    by_customer = {"cov_type": "cluster", "cov_kwds": {"groups": log.customer}}
    ips = sm.OLS(log.weight * log.reward, ones).fit(**by_customer)
    snips = sm.WLS(log.reward, ones, weights=log.weight).fit(**by_customer)
    for theirs, ours in ((ips, off_policy.ips(log)), (snips, off_policy.snips(log))):
        assert (ours.value, ours.error) == pytest.approx((theirs.params[0], theirs.bse[0]), rel=1e-9)


def test_standard_errors_agree_with_resampled_customers(world: Shop) -> None:
    rng = np.random.default_rng(6)
    who = rng.integers(0, 1500, 6000)
    log = world.log(policy(world.expected * TILT), policy(world.expected), who, rng)
    own = [np.flatnonzero(log.customer == customer) for customer in range(log.customer.max() + 1)]
    resampled: dict[str, list[float]] = {"ips": [], "snips": [], "doubly_robust": []}
    for _ in range(300):
        drawn = [own[customer] for customer in rng.integers(0, len(own), len(own))]
        rows = np.concatenate(drawn)
        customer = np.repeat(np.arange(len(drawn)), [len(part) for part in drawn])
        again = replace(Logged(*(column[rows] for column in vars(log).values())), customer=customer)
        for name, values in resampled.items():
            values.append(getattr(off_policy, name)(again).value)
    for name, values in resampled.items():
        # The error of a standard deviation of 300 values is 4 %.
        assert np.std(values) == pytest.approx(getattr(off_policy, name)(log).error, rel=0.12), name


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(-10, 10), st.floats(0.01, 20)), min_size=8, max_size=40),
    st.floats(-5, 5),
    st.integers(2, 4),
)
def test_more_of_the_same_decisions_say_no_more(rows: list[tuple[int, float, float]], shift: float, times: int) -> None:
    customer, reward, weight = (np.array(column) for column in zip(*rows, strict=True))
    customer = np.unique(customer, return_inverse=True)[1]
    if customer.max() == 0:
        return
    log = Logged(customer, reward, reward * 0, reward * 0, weight)
    again = Logged(*(np.tile(column, times) for column in vars(log).values()))
    shifted = replace(log, reward=reward + shift)
    for estimator in (off_policy.ips, off_policy.snips):
        one, many = estimator(log), estimator(again)
        assert (many.value, many.error) == pytest.approx((one.value, one.error), abs=1e-9)
    moved = off_policy.snips(shifted)
    assert moved.value == pytest.approx(off_policy.snips(log).value + shift, abs=1e-9)
    assert moved.error == pytest.approx(off_policy.snips(log).error, abs=1e-9)


def test_effective_size_is_the_number_of_equal_weights() -> None:
    assert off_policy.effective_size(np.array([0, 0, 3.0, 3.0])) == pytest.approx(2)
    assert off_policy.effective_size(np.zeros(3)) == 0


def test_an_interval_for_all_looks_is_wider_and_closes_in() -> None:
    estimate = Estimate(1.0, 0.1)
    lo, hi = estimate.at_any_time(8000)
    assert (lo, hi) == pytest.approx((1 - 0.1 * 3.0352, 1 + 0.1 * 3.0352), abs=1e-4)
    assert estimate.at_any_time(8000, comparisons=3)[0] < lo < estimate.lo
    widths = [Estimate(0, 1 / np.sqrt(n)).at_any_time(n)[1] for n in (1000, 10_000, 100_000)]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.slow
def test_equal_policies_seldom_seem_different_in_100_looks() -> None:
    # Every arm is worth the same, and the logging policy favours neither of the two.
    rng = np.random.default_rng(2)
    customers, runs, nights, each = 1000, 200, 100, 100
    equal = Shop(np.full((customers, K), 0.07), np.full((customers, K), 10.0), np.zeros(K), rng.random((customers, K)))
    even = np.full((customers, K), 1 / K)
    one, other = (policy(rng.normal(size=(customers, K))) for _ in range(2))
    once, always = 0, 0
    for run in range(runs):
        rng = np.random.default_rng(run)
        mine, theirs = equal.logs(even, (one, other), rng.choice(customers, nights * each), rng)
        looks = [
            (n, off_policy.gain(_first(mine, n), _first(theirs, n)))
            for n in range(10 * each, mine.reward.size + 1, each)
        ]
        once += any(estimate.lo > 0 or estimate.hi < 0 for _, estimate in looks)
        always += any(lo > 0 or hi < 0 for lo, hi in (estimate.at_any_time(n) for n, estimate in looks))
    assert once / runs > 0.15, "an interval for one look is wrong sooner or later"
    # 5 % at most; the Monte Carlo error of it is 1.5 %.
    assert always / runs <= 0.05


@pytest.mark.slow
def test_a_better_policy_is_found_in_most_shops_and_a_worse_one_taken_in_none(world: Shop) -> None:
    sound, tilted = policy(world.expected), policy(world.expected * TILT)
    nights, each, shops = 40, 1000, 20
    found, taken = 0, 0
    for run in range(shops):
        rng = np.random.default_rng(run)
        who = rng.choice(rng.choice(CUSTOMERS, 8000, replace=False), nights * each)
        for logging, rival in ((tilted, sound), (sound, tilted)):
            mine, own = world.logs(logging, (rival, logging), who, rng)
            looks = range(2 * each, who.size + 1, each)
            ever = any(off_policy.gain(_first(mine, n), _first(own, n)).at_any_time(n)[0] > 0 for n in looks)
            found += ever and rival is sound
            taken += ever and rival is tilted
    assert taken == 0
    assert found >= 0.9 * shops


def _first(log: Logged, decisions: int) -> Logged:
    return Logged(*(column[:decisions] for column in vars(log).values()))
