"""How sure the intervals of tables and reports are."""

import math

CONFIDENCE = 0.95
# The standard normal quantile at (1 + CONFIDENCE) / 2.
Z = 1.959964


def wilson(share: float, n: int) -> tuple[float, float]:
    """The score interval of a proportion among n >= 1 (Wilson, "Probable Inference, the Law of Succession, and Statistical
    Inference", 1927)."""
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n * n))
    return middle - half, middle + half
