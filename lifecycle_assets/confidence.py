"""How sure the intervals of tables and reports are."""

CONFIDENCE = 0.95
# The standard normal quantile at (1 + CONFIDENCE) / 2.
Z = 1.959964
