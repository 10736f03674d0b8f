"""What came of the rows that the last night read, said alike wherever it is said."""

from dataclasses import dataclass
from typing import Any

from lifecycle_assets.inputs.contracts import InputReads


@dataclass(frozen=True)
class InputRows:
    """Rows of a shop's inputs: read, of these set aside because they break a rule, and left out on purpose."""

    read: int
    set_aside: int
    left_out: int

    @property
    def share(self) -> float:
        """What part was set aside."""
        return self.set_aside / self.read if self.read else 0.0

    def __str__(self) -> str:
        on_purpose = f", {self.left_out:,} left out on purpose" if self.left_out else ""
        return f"{self.read:,} rows read, {self.set_aside:,} set aside ({self.share:.1%}){on_purpose}"


def input_rows(lake: Any, shop: str) -> InputRows | None:
    """The rows of all inputs together; None where nothing was read yet."""
    reads = lake.scan(InputReads, shop).select("rows_read", "rows_quarantined", "rows_left_out").collect()
    if reads.is_empty():
        return None
    read, kept_out, left_out = reads.sum().row(0)
    return InputRows(read, kept_out - left_out, left_out)
