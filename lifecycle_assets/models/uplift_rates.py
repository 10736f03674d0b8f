"""The difference of two response rates, with an interval that holds in small arms.

Newcombe, "Interval estimation for the difference between independent proportions", 1998, method 10.
"""

import numpy as np

from lifecycle_assets.confidence import wilson


def rate_difference(treated: np.ndarray, control: np.ndarray) -> tuple[float, float, float]:
    """Response rate of treated less that of controls (responses 0 or 1), and its 95 % interval."""
    p1, p0 = float(treated.mean()), float(control.mean())
    (low1, high1), (low0, high0) = wilson(p1, treated.size), wilson(p0, control.size)
    difference = p1 - p0
    return (
        difference,
        difference - float(np.hypot(p1 - low1, high0 - p0)),
        difference + float(np.hypot(high1 - p1, p0 - low0)),
    )
