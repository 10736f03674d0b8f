"""The Net Promoter Score: the published bands and cuts, groups that add up, and intervals that hold what they promise."""

import datetime as dt
import json
import zoneinfo
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_shop import AS_OF, SHOP, ZONE, frame, lines, roll_up, run
from scipy.stats import multinomial

from lifecycle_assets.features.behaviour import CustomerBehaviour, customer_behaviour
from lifecycle_assets.features.nps import NetPromoterScores, Scores, nps, scored
from lifecycle_assets.inputs import ingest
from lifecycle_assets.inputs.contracts import OrderLines, SurveyResponses
from lifecycle_assets.night import Night
from lifecycle_assets.settings import Customer, Nps, Shop
from resources.sources import Sources

Row = dict[str, Any]


def answers(rows: list[Row]) -> pl.DataFrame:
    noon = dt.datetime.combine(AS_OF, dt.time(12), dt.UTC)
    usual = {"customer_id": None, "question": None, "responded_at": noon, "groups": None}
    return frame(SurveyResponses, [{"response_id": f"R{i}", **usual, **row} for i, row in enumerate(rows)])


def scores(given: pl.DataFrame, customer: Customer | None = None, as_of: dt.date = AS_OF, **known: Row) -> Scores:
    """The scores held against their contract; `known` gives the stage and the segment of customers."""
    people = [{"customer_id": who, "stage": stage, "segment": segment} for who, (stage, segment) in known.items()]
    schema = {"customer_id": pl.String, "stage": pl.String, "segment": pl.String}
    people_frame = pl.DataFrame(people, schema=schema).lazy()
    made = nps(given.lazy(), people_frame, people_frame, SHOP, as_of, customer or Customer(), ZONE)
    table = NetPromoterScores.conform(made.table.lazy()).collect()
    NetPromoterScores.require(table)
    assert table.equals(table.sort("question", "grouping", "group_value"))
    return Scores(table, made.notes)


def overall(given: list[float]) -> Row:
    table = scores(answers([{"answer": answer} for answer in given])).table
    return table.row(by_predicate=pl.col("grouping") == "overall", named=True)


def mixed(promoters: int, passives: int, detractors: int) -> Row:
    return overall([10.0] * promoters + [8.0] * passives + [0.0] * detractors)


@pytest.mark.parametrize(
    ("mix", "score", "words"),
    [
        ((70, 30, 0), 70.0, "World-class loyalty"),
        ((139, 61, 0), 69.5, "Excellent"),
        ((6999, 3001, 0), 69.99, "Excellent"),
        ((5, 5, 0), 50.0, "Excellent"),
        ((4999, 5001, 0), 49.99, "Good"),
        ((3, 7, 0), 30.0, "Good"),
        ((2999, 7001, 0), 29.99, "Fair - room for improvement"),
        ((1, 5, 1), 0.0, "Fair - room for improvement"),
        ((0, 999, 1), -0.1, "Critical warning"),
        ((0, 0, 3), -100.0, "Critical warning"),
        ((2, 0, 1), 33.33, "Good"),
        ((1, 1, 4), -50.0, "Critical warning"),
    ],
)
def test_bands_are_half_open_and_go_by_the_rounded_score(mix: tuple[int, int, int], score: float, words: str) -> None:
    row = mixed(*mix)
    assert (row["nps"], row["interpretation"], row["responses"]) == (score, words, sum(mix))
    shares = [row["promoters_pct"], row["passives_pct"], row["detractors_pct"]]
    assert shares == pytest.approx([100 * part / sum(mix) for part in mix], abs=1e-12)


def test_a_promoter_answers_nine_a_passive_seven() -> None:
    for answer, score in ((10, 100), (9, 100), (8.5, 0), (8, 0), (7, 0), (6.5, -100), (6, -100), (0, -100)):
        assert overall([float(answer)])["nps"] == score


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_the_interval_lies_around_the_score_within_the_scale_and_mirrors(p: int, n: int, d: int) -> None:
    if p + n + d == 0:
        return
    row, mirrored = mixed(p, n, d), mixed(d, n, p)
    assert -100 <= row["nps_low"] <= row["nps"] <= row["nps_high"] <= 100
    assert row["nps_low"] < row["nps_high"]
    assert (mirrored["nps_low"], mirrored["nps_high"]) == (-row["nps_high"], -row["nps_low"])


@pytest.mark.parametrize(
    ("n", "one_kind_missing", "lowest", "highest"),
    [(5, 0.83, 0.89, 1.0), (10, 0.87, 0.93, 1.0), (20, 0.90, 0.935, 0.998), (100, 0.93, 0.945, 0.96)],
)
def test_the_interval_holds_the_true_score_as_often_as_it_says(
    n: int, one_kind_missing: float, lowest: float, highest: float
) -> None:
    surveys = np.array([(p, n - p - d, d) for p in range(n + 1) for d in range(n + 1 - p)])
    counts = pl.DataFrame({"responses": surveys.sum(1), "promoters": surveys[:, 0], "detractors": surveys[:, 2]})
    low, high = scored(counts).select("nps_low", "nps_high").to_numpy().T
    chances = []
    for mix in [(a / 20, b / 20, (20 - a - b) / 20) for a in range(21) for b in range(21 - a)]:
        truth = 100 * (mix[0] - mix[2])
        held = (low <= truth + 1e-9) & (truth - 1e-9 <= high)
        chances.append((min(mix) > 0, multinomial.pmf(surveys[held], n, mix).sum()))
    assert min(chance for _, chance in chances) >= one_kind_missing
    mixed_ones = [chance for has_all, chance in chances if has_all]
    assert lowest <= min(mixed_ones) <= max(mixed_ones) <= highest
    assert 0.95 <= np.mean(mixed_ones) <= 0.955


def test_fewer_than_ten_answers_are_too_few_to_judge() -> None:
    nine, ten = mixed(9, 0, 0), mixed(10, 0, 0)
    assert nine["note"] == "Too few answers to judge: fewer than 10."
    assert ten["note"] is None
    assert nine["interpretation"] == ten["interpretation"] == "World-class loyalty"


def survey(**columns: list[Any]) -> pl.DataFrame:
    """Answers to one question; every column but the contract's goes where further columns go."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    own = [name for name in columns if name not in SurveyResponses.columns]
    return answers(
        [
            {**{k: v for k, v in row.items() if k not in own}, "groups": json.dumps({k: row[k] for k in own})}
            for row in rows
        ]
    )


def test_groups_are_the_surveys_own_columns_the_month_the_stage_and_the_segment() -> None:
    zone = zoneinfo.ZoneInfo(ZONE)
    # The last moment of January and the first of February, local.
    january = dt.datetime(2024, 1, 31, 23, 59, tzinfo=zone).astimezone(dt.UTC)
    months = [january, january + dt.timedelta(minutes=1)]
    given = survey(
        answer=[9.0, 0.0, 7.0, 10.0, 3.0, 8.0],
        customer_id=["ann", "ann", "bob", "bob", None, "guest"],
        responded_at=[months[i % 2] for i in range(6)],
        store=["Lyon", "Lyon", "Lyon", "Nice", "Nice", "Nice"],
        plan=["a", "", None, "a", " a ", None],
        vip=[True, False, True, False, True, False],
    )
    table = scores(given, ann=("active", "Gold"), bob=("new", "Gold")).table
    found = {
        (g, v): (n, score) for g, v, n, score in table.select("grouping", "group_value", "responses", "nps").rows()
    }
    assert found == {
        ("overall", "all"): (6, 0.0),
        ("month", "2024-01"): (3, 0.0), ("month", "2024-02"): (3, 0.0),
        ("lifecycle_stage", "active"): (2, 0.0), ("lifecycle_stage", "new"): (2, 50.0),
        ("loyalty_segment", "Gold"): (4, 25.0),
        ("store", "Lyon"): (3, 0.0), ("store", "Nice"): (3, 0.0),
        ("plan", "a"): (3, 33.33),
        ("vip", "true"): (3, 0.0), ("vip", "false"): (3, 0.0),
    }  # fmt: skip


def test_a_column_of_the_survey_takes_the_place_of_a_group_of_the_same_name() -> None:
    given = survey(answer=[9.0] * 6, lifecycle_stage=["vip"] * 6, overall=["no"] * 6)
    table = scores(given).table
    assert table.filter(grouping="lifecycle_stage")["group_value"].to_list() == ["vip"]
    assert table.filter(grouping="overall")["group_value"].to_list() == ["all"]


def test_ids_addresses_and_comments_are_no_groups_and_that_is_said() -> None:
    n = 700
    given = survey(
        answer=[9.0] * n,
        respondent=[f"r{i}" for i in range(n)],
        email=[f"p{i % 300}@example.org" for i in range(n)],
        comment=[f"words {i}" if i < 20 else None for i in range(n)],
        region=[f"z{i % 200}" for i in range(n)],
        nothing=[None] * n,
        tags=[["a"]] * n,
    )
    made = scores(given)
    assert set(made.table["grouping"]) == {"overall", "month", "region"}
    assert made.notes == [
        "No groups by respondent: 700 values in 700 answers.",
        "No groups by email: 300 values in 700 answers.",
        "No groups by comment: 20 values in 20 answers.",
    ]


FAST, LIKELY, WOULD = "How fast was it?", "How likely are you to RECOMMEND us?", "¿Nos recomendaría?"


@pytest.mark.parametrize(
    ("asked", "configured", "taken"),
    [
        ([None], None, ["unnamed"]),
        ([FAST], None, [FAST]),
        ([FAST, LIKELY], None, [LIKELY]),
        ([FAST, LIKELY, WOULD], None, [LIKELY, WOULD]),
        ([FAST, LIKELY], FAST, [FAST]),
        ([FAST, None], None, []),
        ([FAST, LIKELY], "Another?", []),
    ],
)
def test_only_the_recommend_question_gives_a_score(
    asked: list[str | None], configured: str | None, taken: list[str]
) -> None:
    rows = [
        {"question": question, "answer": float(i), "customer_id": "C05"} for i, question in enumerate(asked, start=1)
    ]
    made = scores(answers(rows), Customer(nps=Nps(question=configured)))
    assert made.table.filter(grouping="overall")["question"].to_list() == sorted(taken)
    assert bool(made.notes) == (not taken)
    # The customer's own latest answer is one to the same question.
    tables = {OrderLines.name: lines(1), SurveyResponses.name: answers(rows)}
    behaviour = customer_behaviour(SHOP, AS_OF, ZONE, configured)
    latest = run(behaviour, CustomerBehaviour, roll_up(tables)).filter(customer_id="C05")["latest_nps"].item()
    first_taken = next((float(i) for i, q in enumerate(asked, start=1) if (q or "unnamed") in taken), None)
    assert latest == first_taken


def test_answers_count_up_to_the_end_of_as_of_and_from_the_observation_window_on() -> None:
    end = dt.datetime.combine(AS_OF + dt.timedelta(days=1), dt.time(), zoneinfo.ZoneInfo(ZONE)).astimezone(dt.UTC)
    start = dt.datetime(2024, 2, 2, tzinfo=zoneinfo.ZoneInfo(ZONE)).astimezone(dt.UTC)
    second = dt.timedelta(seconds=1)
    moments = {end: 0.0, end - second: 10.0, start: 10.0, start - second: 0.0}
    given = answers([{"answer": answer, "responded_at": moment} for moment, answer in moments.items()])
    for months, n in ((None, 3), (1, 2)):
        row = scores(given, Customer(window_months=months)).table.filter(grouping="overall")
        assert row["responses"].item() == n
        assert row["nps"].item() == (33.33 if n == 3 else 100)
    assert scores(given, as_of=dt.date(2023, 1, 1)).table.is_empty()


def test_all_answers_of_a_customer_count_and_the_order_of_rows_does_not() -> None:
    rng = np.random.default_rng(1)
    given = survey(
        answer=rng.integers(0, 11, 300).astype(float).tolist(),
        customer_id=[f"C{i % 20}" for i in range(300)],
        store=[f"S{i % 7}" for i in range(300)],
    )
    people = {f"C{i}": ("active" if i % 2 else "new", "Gold") for i in range(20)}
    made = scores(given, **people)
    assert made.table.filter(grouping="lifecycle_stage")["responses"].to_list() == [150, 150]
    assert made.table.filter(grouping="store")["responses"].sum() == 300
    mixed = given.sample(fraction=1.0, shuffle=True, seed=1)
    assert scores(mixed, **people).table.equals(made.table)


def test_without_answers_the_table_is_empty_and_typed_and_nothing_is_noted() -> None:
    made = scores(SurveyResponses.empty())
    assert made.table.is_empty()
    assert made.notes == []


def test_answers_off_the_scale_never_get_in(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rows = ["10,Lyon", "0,Lyon", "9,Lyon", "11,Lyon", "-1,Nice", "nine,Nice", ",Nice", "10.5,Nice"]
    text = "response_id,answer,store,responded_at\n" + "".join(f"R{i},{row},2024-02-01\n" for i, row in enumerate(rows))
    (folder / "survey_responses.csv").write_text(text)
    shop = Shop.model_validate(
        {"name": "Made", "timezone": ZONE, "currency": "EUR", "country": "ES", "input": str(folder),
         "inputs": {"quarantine_limit": 1.0}}
    )  # fmt: skip
    night = Night(SHOP, AS_OF, AS_OF, dt.datetime(2024, 3, 2, tzinfo=dt.UTC), shop)
    done = ingest.ingest(SurveyResponses, Sources(tmp_path).open(shop), night, tmp_path)
    assert done.number("rows_quarantined") == 5
    table = scores(pl.read_parquet(done.table)).table
    found = table.filter(pl.col("grouping").is_in(["overall", "store"])).select("grouping", "group_value", "responses")
    assert found.rows() == [("overall", "all", 3), ("store", "Lyon", 3)]
