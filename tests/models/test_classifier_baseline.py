"""The simple rule sees ranks."""

import polars as pl

from lifecycle_assets.models.classifier_baseline import rule_inputs


def test_numbers_become_ranks_among_the_rows_learnt_from_and_missing_ones_the_middle() -> None:
    learnt = pl.DataFrame({"days": [10, 20, 30, 40], "plan": ["a"] * 4})
    rows = pl.DataFrame({"days": [None, 0, 20, 25, 100], "plan": [None] * 5})
    made = rule_inputs(learnt, rows, ["days"], ["plan"])
    assert made.tolist() == [[0.5, 1], [0, 0], [0.375, 0], [0.5, 0], [1, 0]]


def test_a_category_has_a_column_per_frequent_level() -> None:
    learnt = pl.DataFrame({"days": [1.0] * 300, "plan": ["a"] * 150 + ["b"] * 149 + ["c"]})
    made = rule_inputs(learnt, pl.DataFrame({"days": [1.0, 1.0], "plan": ["b", "c"]}), ["days", "plan"], ["plan"])
    assert made.tolist() == [[0.5, 0, 0, 1], [0.5, 0, 0, 0]]
