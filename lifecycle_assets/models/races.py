"""On which nights do candidates race, and whose figures stand on the others?

A race takes minutes and seldom ends otherwise than the one before. So there is one when the last is `scores.retrain_days` old,
when the settings that it was run by have changed, and every night as long as there is too little data for one. In between the
rows of the last race stand, and its winner is fitted to each night's data.
"""

import datetime as dt
import hashlib

import dataframely as dy
import polars as pl
from pydantic import BaseModel

from lifecycle_assets.contracts import date, text
from lifecycle_assets.models.champion import is_due


def night_of_race() -> dy.Date:
    """The column `trained_as_of` of a table of races."""
    return date("The night of the race; null without one.", nullable=True)


def settings_of_race() -> dy.String:
    """The column `made_by` of a table of races."""
    return text("SHA-256 of the settings that the race was run by; null without one.")


def made_by(settings: BaseModel, seed: int) -> str:
    """What a race is run by, as one hash."""
    return hashlib.sha256(f"{settings.model_dump_json()}\x1f{seed}".encode()).hexdigest()


def stamped(rows: pl.DataFrame, as_of: dt.date, by: str) -> pl.DataFrame:
    """The rows of a race that was run tonight."""
    return rows.with_columns(trained_as_of=pl.lit(as_of), made_by=pl.lit(by))


def standing(last: pl.LazyFrame | None, as_of: dt.date, retrain_days: int, by: str) -> pl.DataFrame | None:
    """The rows of the last race as tonight's; None where it is time for a new one. `last`: the table of the latest night up to
    `as_of`; `by`: what a race would be run by tonight."""
    rows = None if last is None else last.collect()
    if rows is None or rows.is_empty():
        return None
    trained_as_of, was = rows.select("trained_as_of", "made_by").row(0)
    if trained_as_of is None or was != by or is_due(trained_as_of, as_of, retrain_days):
        return None
    return rows.with_columns(as_of=pl.lit(as_of))
