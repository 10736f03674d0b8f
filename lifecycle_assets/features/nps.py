"""Would customers recommend the shop, overall and group by group?

The Net Promoter Score (Reichheld, The one number you need to grow, 2003): the share of promoters (9 or 10) less the share
of detractors (below 7) among the answers to the question whether one would recommend the shop. An answer between two whole
numbers counts as the one below: 8.5 is passive, 6.5 a detractor. The interval is the adjusted Wald interval of Rocks
(Interval estimation for the Net Promoter Score, The American Statistician 70, 2016): three quarters of an answer are added
to the promoters and to the detractors and one and a half to the passives; it is kept within -100 .. 100 and around the
score. It holds the truth in 95 % of surveys on average over all mixes of answers, and in 93 to 100 % for any one mix and
10 answers, 93.9 to 99.8 % for 20, 94.7 to 96 % for 100 (enumerated, each kind of answer at least 5 %). With 5 answers it
may be 90 %. Where a kind of answer does not occur at all it may be 84 % (5 answers), 88 % (10), 91 % (20), 94 % (100). The
words go by the score as it is shown, rounded; a note says where fewer than 10 answers are too few for them.

All answers of the observation window count, also several of one customer. Which question it is: the configured one, else
the only one that the survey has, else those whose words name recommending or NPS, each by itself; with none of these the
table is empty and a note says so. Groups are all answers, the month of the answer (local), the customer's lifecycle stage
and loyalty segment at as_of, and every further column of the survey; a column of the survey takes the place of a group of
the same name. A column of more than 200 values, or of fewer than 3 answers a value, is an id, an address or a comment
rather than a group: it is left out, and a note says so. Answers without a value in a grouping are not in it.
"""

import datetime as dt
import re
from typing import NamedTuple

import dataframely as dy
import polars as pl
import polars.selectors as cs

from lifecycle_assets.confidence import Z
from lifecycle_assets.contracts import as_of_column, count, key, number, shop_key, table, text
from lifecycle_assets.features.customer_orders import window_start
from lifecycle_assets.settings import Customer

RECOMMENDING = "nps|promoter|recommend|recomend|recomand|recommand|empfehl|consigl|aanbevel|aanrad"
"""What the recommend question says in lower case, in the usual languages; read by SQL engines as well."""

BANDS = {
    70: "World-class loyalty",
    50: "Excellent",
    30: "Good",
    0: "Fair - room for improvement",
    -100: "Critical warning",
}
MOST_VALUES, FEWEST_ANSWERS = 200, 3
ENOUGH_TO_JUDGE = 10
UNNAMED = "unnamed"


@table("features.nps", needs=("raw.survey_responses",))
class NetPromoterScores(dy.Schema):
    """The Net Promoter Score with its 95 % interval, overall and by group."""

    shop_id = shop_key()
    as_of = as_of_column()
    question = key(f"The recommend question; {UNNAMED} where the survey does not name it.")
    grouping = key("overall, month, lifecycle_stage, loyalty_segment or a further column of the survey.")
    group_value = key("The group: all, 2024-03, active, Gold ...")
    responses = count("Answers in the group.", "answers", minimum=1)
    promoters_pct = number("Answers of 9 or 10.", "percent", minimum=0, maximum=100)
    passives_pct = number("Answers of 7 or 8.", "percent", minimum=0, maximum=100)
    detractors_pct = number("Answers below 7.", "percent", minimum=0, maximum=100)
    nps = number("promoters_pct - detractors_pct, two decimals.", "score -100..100", minimum=-100, maximum=100)
    nps_low = number("Lower end of the 95 % interval of nps.", "score -100..100", minimum=-100, maximum=100)
    nps_high = number("Upper end of the 95 % interval of nps.", "score -100..100", minimum=-100, maximum=100)
    interpretation = text(
        "What the nps means: from 70, 50, 30 and 0 on, and below; see note.",
        nullable=False,
        values=list(BANDS.values()),
    )
    note = text(f"Said of fewer than {ENOUGH_TO_JUDGE} answers: too few for the interpretation to be relied on.")


class Scores(NamedTuple):
    """The table, and what it leaves out, in words."""

    table: pl.DataFrame
    notes: list[str]


def nps(
    survey_responses: pl.LazyFrame,
    lifecycle_stage: pl.LazyFrame,
    customer_loyalty: pl.LazyFrame,
    shop: str,
    as_of: dt.date,
    settings: Customer,
    timezone: str,
) -> Scores:
    """The scores of the answers up to `as_of` (a local day of `timezone`), ordered by question, grouping and group_value.

    `survey_responses` has customer_id, question, answer (0..10), responded_at and groups (a JSON object of further columns),
    the other two customer_id with stage and segment.
    """
    day = pl.col("responded_at").dt.convert_time_zone(timezone).dt.date()
    answers = (
        survey_responses.with_columns(pl.col("question").fill_null(UNNAMED), day.alias("day"))
        .filter(pl.col("day") <= as_of)
        .collect()
    )
    questions, notes = _questions(answers["question"].unique().sort().to_list(), settings.nps.question)
    answers = answers.filter(
        pl.col("question").is_in(questions), pl.col("day") >= window_start(as_of, settings.window_months)
    )
    if answers.is_empty():
        return Scores(NetPromoterScores.empty(), notes)
    own, left_out = _own_groups(answers["groups"])
    derived = _derived_groups(answers, lifecycle_stage, customer_loyalty)
    groups = {**derived.to_dict(), **own.to_dict(), "overall": derived["overall"]}
    counts = pl.concat(_counts(answers, name, values) for name, values in groups.items())
    table = scored(counts.sort("question", "grouping", "group_value"))
    return Scores(table.select(pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of"), pl.all()), notes + left_out)


def scored(counts: pl.DataFrame) -> pl.DataFrame:
    """Rows with responses (at least 1), promoters and detractors -> the columns of the table from promoters_pct on, in the
    place of the latter two."""
    n, promoters, detractors = (pl.col(name).cast(pl.Float64) for name in ("responses", "promoters", "detractors"))
    score = (100 * (promoters - detractors) / n).round(2)
    centre = (promoters - detractors) / (n + 3)
    half = Z * (((promoters + detractors + 1.5) / (n + 3) - centre**2) / (n + 3)).sqrt()
    band = pl.lit(None, dtype=pl.String)
    for bound, words in sorted(BANDS.items()):
        band = pl.when(score >= bound).then(pl.lit(words)).otherwise(band)
    return counts.with_columns(
        (100 * promoters / n).alias("promoters_pct"),
        (100 * (n - promoters - detractors) / n).alias("passives_pct"),
        (100 * detractors / n).alias("detractors_pct"),
        score.alias("nps"),
        pl.min_horizontal((100 * (centre - half)).round(2).clip(lower_bound=-100), score).alias("nps_low"),
        pl.max_horizontal((100 * (centre + half)).round(2).clip(upper_bound=100), score).alias("nps_high"),
        band.alias("interpretation"),
        pl.when(n < ENOUGH_TO_JUDGE)
        .then(pl.lit(f"Too few answers to judge: fewer than {ENOUGH_TO_JUDGE}."))
        .alias("note"),
    ).drop("promoters", "detractors")


def _questions(asked: list[str], configured: str | None) -> tuple[list[str], list[str]]:
    """The questions that give a score, and a note when there is none. features/sql/customer_behaviour.sql does the same."""
    if configured is not None:
        chosen = [question for question in asked if question == configured]
    elif len(asked) == 1:
        chosen = asked
    else:
        chosen = [question for question in asked if re.search(RECOMMENDING, question.lower())]
    if asked and not chosen:
        return [], [
            f"None of the survey's {len(asked)} questions is the recommend question: set customer.nps.question."
        ]
    return chosen, []


def _derived_groups(
    answers: pl.DataFrame, lifecycle_stage: pl.LazyFrame, customer_loyalty: pl.LazyFrame
) -> pl.DataFrame:
    """The groupings that any survey has, a column each, in the order of the answers."""
    stages = lifecycle_stage.select("customer_id", "stage")
    segments = customer_loyalty.select("customer_id", "segment")
    return (
        answers.lazy()
        .join(stages, on="customer_id", how="left", maintain_order="left")
        .join(segments, on="customer_id", how="left", maintain_order="left")
        .select(
            pl.lit("all").repeat_by(1).explode().alias("overall"),
            pl.col("day").dt.strftime("%Y-%m").alias("month"),
            pl.col("stage").alias("lifecycle_stage"),
            pl.col("segment").alias("loyalty_segment"),
        )
        .collect()
    )


def _own_groups(groups: pl.Series) -> tuple[pl.DataFrame, list[str]]:
    """The survey's further columns that group the answers, as text, in the order of the answers; a note on each other one."""
    decoded = groups.str.json_decode(infer_schema_length=None)
    if not isinstance(decoded.dtype, pl.Struct):
        return pl.DataFrame(), []
    texts = decoded.struct.unnest().select((~cs.nested()).cast(pl.String).str.strip_chars().replace("", None))
    kept, notes = [], []
    for column in texts.iter_columns():
        values, answers = column.drop_nulls().n_unique(), column.count()
        if values > MOST_VALUES or answers < FEWEST_ANSWERS * values:
            notes.append(f"No groups by {column.name}: {values} values in {answers} answers.")
        elif values:
            kept.append(column)
    return pl.DataFrame(kept), notes


def _counts(answers: pl.DataFrame, grouping: str, values: pl.Series) -> pl.DataFrame:
    """Per question and group of one grouping: the answers, promoters and detractors."""
    return (
        answers.select("question", "answer", values.alias("group_value"))
        .drop_nulls("group_value")
        .group_by("question", "group_value")
        .agg(
            pl.lit(grouping).alias("grouping"),
            pl.len().alias("responses"),
            (pl.col("answer") >= 9).sum().alias("promoters"),
            (pl.col("answer") < 7).sum().alias("detractors"),
        )
    )
