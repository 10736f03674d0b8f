"""A race stands until it is old, until its settings change, and never where there was none."""

import datetime as dt

import polars as pl
import pytest

from lifecycle_assets.models.races import made_by, stamped, standing
from lifecycle_assets.settings import Segmentation

NIGHT = dt.date(2024, 5, 1)
WEEK = 7
BY = made_by(Segmentation(), 0)
ROWS = pl.DataFrame({"as_of": [NIGHT] * 2, "candidate": ["a", "b"], "trained_as_of": None, "made_by": None})


def after(days: int) -> dt.date:
    return NIGHT + dt.timedelta(days=days)


@pytest.mark.parametrize("days", [0, 1, WEEK - 1])
def test_a_race_stands_for_so_many_days(days: int) -> None:
    rows = standing(stamped(ROWS, NIGHT, BY).lazy(), after(days), WEEK, BY)
    assert rows is not None
    assert rows["as_of"].to_list() == [after(days)] * 2
    assert rows["trained_as_of"].to_list() == [NIGHT] * 2


def test_it_is_time_for_a_race() -> None:
    last = stamped(ROWS, NIGHT, BY).lazy()
    assert standing(last, after(WEEK), WEEK, BY) is None
    assert standing(last, after(1), WEEK, made_by(Segmentation(keep_within=0.9), 0)) is None
    assert standing(last, after(1), WEEK, made_by(Segmentation(), 1)) is None


def test_what_was_no_race_does_not_stand() -> None:
    never = ROWS.with_columns(pl.col("trained_as_of").cast(pl.Date), pl.col("made_by").cast(pl.String))
    assert standing(never.lazy(), after(1), WEEK, BY) is None
    assert standing(never.clear().lazy(), after(1), WEEK, BY) is None
    assert standing(None, NIGHT, WEEK, BY) is None
