"""One night of the small shop that nothing happened to, which the homes with faults are compared with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resources.home import Home
from tests.faults.killing import Step, undisturbed
from tests.faults.small_shop import make_home, write_input


@pytest.fixture(scope="session")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's input."""
    return write_input(tmp_path_factory.mktemp("kiosk") / "input")


@pytest.fixture(scope="session")
def calm(kiosk: Path) -> tuple[Home, list[Step]]:
    """A home after a night, and the night's steps."""
    return undisturbed(kiosk.parent / "undisturbed", kiosk)


@pytest.fixture
def new_home(kiosk: Path, tmp_path: Path) -> Callable[..., Home]:
    """Makes a home of the same shop in which nothing was run yet."""
    return lambda **settings: make_home(tmp_path / "home", kiosk, **settings)
