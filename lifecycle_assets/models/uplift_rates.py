"""The difference of two response rates, with an interval that holds in small arms.

Newcombe, "Interval estimation for the difference between independent proportions", 1998, method 10.
"""

import numpy as np

from lifecycle_assets.confidence import Z


def rate_difference(treated: np.ndarray, control: np.ndarray) -> tuple[float, float, float]:
    """Response rate of treated less that of controls (responses 0 or 1), and its 95 % interval."""
    (p1, low1, high1), (p0, low0, high0) = _wilson(treated), _wilson(control)
    difference = p1 - p0
    return (
        difference,
        difference - float(np.hypot(p1 - low1, high0 - p0)),
        difference + float(np.hypot(high1 - p1, p0 - low0)),
    )


def _wilson(responses: np.ndarray) -> tuple[float, float, float]:
    """A proportion and its 95 % score interval."""
    n, p, z2 = responses.size, float(responses.mean()), Z**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return p, middle - half, middle + half
