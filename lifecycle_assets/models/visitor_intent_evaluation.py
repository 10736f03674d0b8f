"""How well can it be told which anonymous visitors will buy?

Two questions, each with a model of its own (models.classifier):

    session   asked at a moment of a visit, after its 1st, 2nd, 4th, 8th ... event, and after each event once more in silence,
              when 1/2, 1, 2, 5, 10 or 20 minutes, by turns, have gone by without another: does a purchase follow in this visit?
    7_days    asked at the end of a night of whoever came in the seven days before, as the last visit stood at its latest
              event: does the visitor buy in the seven days after that night?

Rows are of the weeks before the last, whose following seven days are over; a week is a snapshot, and the latest one the
out-of-time test. Visitors who had signed in by the moment are customers and have other scores; visits that had brought a
purchase by then are left out. Most visits that still count as open have ended: the longer the silence, the less is to be
hoped for, so that `session` is asked in silence too. Whether a row is there depends on nothing later than its moment: a visit
gives a row for each of the moments above that it reaches, without a weight. Weights or draws by which every visit counts once
would depend on how long the visit went on, which is longest where it ends in a purchase, and make the probabilities wrong;
instead all rows of a visitor share a fold, and intervals are clustered by visitor. Without web events, or with too few
purchases, nothing is learnt.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.contracts import table
from lifecycle_assets.models.classifier import TrainingSet
from lifecycle_assets.models.classifier_evaluation import EvaluationColumns
from lifecycle_assets.models.visitor_sessions import CATEGORIES, NUMBERS, VISITOR, ends_of_weeks, week_of

SESSION, SEVEN_DAYS = "session", "7_days"
LABEL_DAYS = 7
# The day of the newest event behind the features of each snapshot.
Newest = dict[dt.date, dt.date | None]
ASKED_AFTER = [2**power for power in range(10)]
ASKED_IN_SILENCE = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
ASKED = {SESSION: (*NUMBERS, "minutes_silent"), SEVEN_DAYS: (*NUMBERS, "silent_days")}
FEATURES = {target: (*numbers, *CATEGORIES) for target, numbers in ASKED.items()}
# The simple rule to beat: has something in the cart, has looked around or, in a visit, may still be there.
BASELINES = {SESSION: ("carts", "minutes_silent"), SEVEN_DAYS: ("carts", "views")}


@table("models.visitor_intent_evaluation", needs=("raw.web_events",))
class VisitorIntentEvaluation(EvaluationColumns):
    """How each way of telling which anonymous visitors will buy did: in the visit (target session), in seven days (7_days)."""


def session_rows(moments: pl.DataFrame, as_of: dt.date, timezone: str) -> tuple[TrainingSet, Newest]:
    """What is learnt from for the question `session`: `moments` of visitor_sessions, more weeks than one."""
    buys = pl.col("purchases").max().over("visit") > 0
    silence = (pl.col("at").shift(-1).over(VISITOR) - pl.col("at")).dt.total_seconds() / 60
    # Once only, or most rows would be of visits that are over and teach the same.
    turn = (pl.col("visit") + pl.col("events")) % len(ASKED_IN_SILENCE)
    asked_in = turn.replace_strict(dict(enumerate(ASKED_IN_SILENCE)))
    states = moments.with_columns(label=buys, silence=silence, minutes_silent=asked_in)
    states = states.filter(pl.col("week") > 0, _open())
    lasts = pl.col("silence").is_null() | (pl.col("silence") > pl.col("minutes_silent"))
    in_its_week = minutes_silent() >= pl.col("minutes_silent")
    at_once = states.filter(pl.col("events").is_in(ASKED_AFTER)).with_columns(minutes_silent=pl.lit(0.0))
    asked = pl.concat([at_once, states.filter(lasts, in_its_week)])
    return _training_set(asked, as_of, timezone, SESSION, "buys in this visit")


def seven_days_rows(
    moments: pl.DataFrame, purchases: pl.DataFrame, as_of: dt.date, timezone: str
) -> tuple[TrainingSet, Newest]:
    """What is learnt from for the question `7_days`: `moments` and `purchases` of visitor_sessions."""
    weeks = int(moments["week"].max() or 0)  # ty: ignore[invalid-argument-type]
    week = week_of(purchases["at"], ends_of_weeks(as_of, timezone, weeks + 1))
    buyers = purchases.select(VISITOR, week=week + 1, label=pl.lit(value=True)).unique()
    asked = latest(moments).filter(pl.col("week") > 0).join(buyers, on=[VISITOR, "week"], how="left")
    asked = asked.with_columns(pl.col("label").fill_null(value=False))
    return _training_set(asked, as_of, timezone, SEVEN_DAYS, "buys within 7 days")


def latest(moments: pl.DataFrame) -> pl.DataFrame:
    """How each visitor stood at the end of each week: the state after the latest event in it, where they are anonymous and
    the visit has not brought a purchase."""
    return moments.unique([VISITOR, "week"], keep="last", maintain_order=True).filter(_open())


def minutes_silent() -> pl.Expr:
    """From the latest event to the end of its week."""
    return (pl.col("silent_days") * 1440).alias("minutes_silent")


def _open() -> pl.Expr:
    return ~pl.col("is_known") & (pl.col("purchases") == 0)


def _training_set(
    asked: pl.DataFrame, as_of: dt.date, timezone: str, target: str, positive: str
) -> tuple[TrainingSet, Newest]:
    asked = asked.with_columns(
        (pl.lit(as_of) - pl.duration(weeks=pl.col("week"))).cast(pl.Date).alias("snapshot"),
        pl.col(VISITOR).alias("group"),
    )
    newest = asked.group_by("snapshot").agg(pl.col("at").max().dt.convert_time_zone(timezone).dt.date())
    rows = asked.select("snapshot", "group", "label", *FEATURES[target])
    return TrainingSet(rows, ASKED[target], CATEGORIES, BASELINES[target], positive), dict(newest.rows())
