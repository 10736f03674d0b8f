"""A night that is killed, one that runs twice at once, one that is repeated: each leaves what one calm night leaves."""

from collections.abc import Callable

import numpy as np
import pytest

from resources.home import Home
from tests.faults.killing import Step, ends_alike, kill
from tests.faults.small_shop import SHOP, bytes_of, differences, run_here, start

Calm = tuple[Home, list[Step]]
NewHome = Callable[..., Home]


@pytest.mark.nights
def test_a_night_that_was_killed_is_made_good_by_the_next(calm: Calm, new_home: NewHome) -> None:
    other, steps = calm
    home = new_home()
    rng = np.random.default_rng(20)
    for _ in range(2):
        kill(home, steps, rng)
    assert ends_alike(home, other) == []


@pytest.mark.nights
def test_of_two_runs_at_once_one_waits_and_each_message_goes_out_once(calm: Calm, new_home: NewHome) -> None:
    home = new_home()
    both = [start(home), start(home)]
    said = ["".join(process.communicate()) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert differences(home, calm[0]) == []


@pytest.mark.nights
def test_a_repeated_night_changes_no_byte(calm: Calm) -> None:
    home, _ = calm
    first = bytes_of(home)
    assert len([name for name in first if name.startswith(f"dispatch/{SHOP}")]) > 5
    for _ in range(2):
        assert run_here(home).success
        assert bytes_of(home) == first
