"""What the disk may do to a night: be full, or have changed what was written to it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lifecycle_assets.definitions import Home
from lifecycle_assets.errors import LifecycleError

LEAST_BYTES = 8 * 2**20


@contextmanager
def with_room(home: Home) -> Iterator[None]:
    """Raise LifecycleError where the home's disk is full, before the work or as the cause of what went wrong in it."""
    _need_room(home)
    try:
        yield
    except Exception:
        # Dagster's own storage is often the first that cannot write, and knows nothing of it.
        _need_room(home)
        raise


def damages(lake: Any, shop: str) -> list[str]:
    """A sentence on each file of the shop's tables that is not what was written there, and what to do about it."""
    return [
        f"{path} is damaged: its bytes are not those that were written. "
        + (
            "Nothing makes it again: restore it from a backup."
            if is_past
            else "Run the whole night again (without --select): it makes the file anew."
        )
        for path, is_past in lake.damaged(shop)
    ]


def _need_room(home: Home) -> None:
    if shutil.disk_usage(home.root).free < LEAST_BYTES:
        raise LifecycleError(
            f"the disk of {home.root} is full. The tables, batches and reports are those of before. Make room "
            "(lifecycle prune removes what is older than the shop keeps it), then run the night again"
        )
