"""The uplift tables: who enters a campaign's trial with which features, what comes out, and what is refused."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from uplift_world import World, four_kinds, world

from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.inputs.contracts import CampaignAssignments
from lifecycle_assets.models.uplift import TABLES, UpliftTables, uplift
from lifecycle_assets.models.uplift_chart import qini_curve
from lifecycle_assets.models.uplift_rows import GROUPS, NUMBERS, SNAPSHOTS, Encoding, assigned, with_features
from lifecycle_assets.settings import Uplift

SHOP, AS_OF, ZONE = "made", dt.date(2024, 6, 1), "Europe/Madrid"
NOON = dt.datetime(2024, 5, 10, 10, tzinfo=dt.UTC)


def assignments(rows: list[dict[str, Any]]) -> pl.LazyFrame:
    given = {"campaign_id": "spring", "treatment": 1, "assigned_at": NOON, "outcome": 0, "contaminated": None}
    frame = pl.DataFrame(
        [{"shop_id": SHOP, "as_of": AS_OF, "outcome_value": None, **given, **row} for row in rows],
        infer_schema_length=None,
    )
    return CampaignAssignments.conform(frame.lazy())


def entered(rows: list[dict[str, Any]], merged: dict[str, str] | None = None) -> pl.DataFrame:
    identity = [{"id_type": "customer_id", "id": old, "customer_id": new} for old, new in (merged or {}).items()]
    known = IdentityMap.empty() if not identity else pl.DataFrame(identity)
    return assigned(assignments(rows), known.lazy(), AS_OF, ZONE, 365)


def features_of(given: World, ids: list[str]) -> pl.DataFrame:
    """The world's features as four columns of the customers' features, the others unknown."""
    columns = dict(zip(("avg_ticket", "gap_cv", "return_rate", "discount_share"), given.features.T, strict=True))
    absent = [pl.lit(None, dtype=pl.String if name in GROUPS else pl.Float64).alias(name) for name in NUMBERS + GROUPS]
    return pl.DataFrame({"customer_id": ids}).with_columns(absent).with_columns(**columns)


def made(given: World, tonight: pl.DataFrame | None = None, shuffled: bool = False, **settings: Any) -> UpliftTables:
    ids = [f"c{i:05d}" for i in range(given.treated.size)]
    arms = zip(ids, given.treated.tolist(), given.response.tolist(), strict=True)
    rows = [{"customer_id": name, "treatment": arm, "outcome": responded} for name, arm, responded in arms]
    features = features_of(given, ids)
    if shuffled:
        rows, features = rows[::-1], features.reverse()
    campaign = entered(rows)
    then = dict.fromkeys(campaign["known"].unique(), features)
    everybody = features if tonight is None else pl.concat([features, tonight])
    return uplift(campaign, then, everybody.lazy(), shop_id=SHOP, as_of=AS_OF, settings=Uplift(**settings), seed=0)


def test_features_are_of_a_day_before_the_assignment() -> None:
    # 22:30 UTC is past midnight in Madrid, so that the tenth of May was over; 21:30 is not.
    late = {"customer_id": "late", "assigned_at": dt.datetime(2024, 5, 10, 22, 30, tzinfo=dt.UTC)}
    early = {"customer_id": "early", "assigned_at": dt.datetime(2024, 5, 10, 21, 30, tzinfo=dt.UTC)}
    rows = entered([late, early])
    assert dict(rows.select("customer_id", "known").rows()) == {
        "late": dt.date(2024, 5, 10),
        "early": dt.date(2024, 5, 9),
    }
    absent = [pl.lit(None).alias(name) for name in NUMBERS + GROUPS if name != "visit_frequency"]
    then = {
        day: pl.DataFrame({"customer_id": ["late", "early"], "visit_frequency": [visits] * 2}).with_columns(absent)
        for day, visits in ((dt.date(2024, 5, 9), 1), (dt.date(2024, 5, 10), 2))
    }
    known = with_features(rows, then)
    assert dict(known.select("customer_id", "visit_frequency").rows()) == {"late": 2, "early": 1}


def test_many_days_of_assignment_share_a_few_snapshots_none_of_them_later() -> None:
    days = [NOON + dt.timedelta(days=i % 20, hours=i % 5) for i in range(200)]
    rows = entered([{"customer_id": f"c{i:03d}", "assigned_at": day} for i, day in enumerate(days)])
    behind = [(day.date() - known).days for day, known in zip(days, rows["known"], strict=True)]
    assert rows["known"].n_unique() == SNAPSHOTS
    assert min(behind) == 1
    assert max(behind) <= 4


def test_what_is_not_known_by_as_of_and_old_campaigns_do_not_enter() -> None:
    later = dt.datetime(2024, 6, 1, 22, tzinfo=dt.UTC)  # midnight after as_of in Madrid
    long_ago = NOON - dt.timedelta(days=400)
    rows = entered(
        [
            {"customer_id": "a"},
            {"customer_id": "b", "assigned_at": later},
            {"customer_id": "c", "campaign_id": "old", "assigned_at": long_ago},
            {"customer_id": "d", "assigned_at": long_ago},  # of a campaign that went on
        ]
    )
    assert rows.select("campaign_id", "customer_id").rows() == [("spring", "a"), ("spring", "d")]


def test_who_is_left_out_of_the_comparison() -> None:
    rows = entered(
        [
            {"customer_id": "reached", "treatment": 0, "contaminated": 1},
            {"customer_id": "treated", "treatment": 1, "contaminated": 1},
            {"customer_id": "pending", "outcome": None},
            {"customer_id": "one", "treatment": 1},
            {"customer_id": "other", "treatment": 0},
            {"customer_id": "first", "outcome": 0},
            {"customer_id": "second", "outcome": 1},
        ],
        {"other": "one", "second": "first"},
    )
    assert dict(rows.select("customer_id", "left_out").rows()) == {
        "reached": "contaminated controls",
        "treated": None,
        "pending": "assignments without an outcome",
        "one": "customers in both arms",
        "first": None,
    }
    assert rows.filter(pl.col("customer_id") == "first")["outcome"].to_list() == [1]


def test_groups_become_numbers_and_what_says_nothing_is_left_out() -> None:
    ids = [f"c{i}" for i in range(40)]
    given = features_of(World(np.arange(160.0).reshape(40, 4), *[np.zeros(40)] * 4), ids).with_columns(
        country=pl.Series(["PT"] * 15 + ["ES"] * 25), favourite_channel=pl.lit("web")
    )
    encoding = Encoding.of(given)
    assert sorted(encoding.features) == ["avg_ticket", "country", "discount_share", "gap_cv", "return_rate"]
    assert encoding.features[-1] == "country"
    unseen = given.head(2).with_columns(country=pl.Series(["ES", "FR"]))
    np.testing.assert_array_equal(encoding.matrix(unseen)[:, -1], [0.0, np.nan])


@pytest.fixture(scope="module")
def tables() -> UpliftTables:
    """A campaign of the four kinds of customers, and 200 customers who were not in it."""
    others, _ = four_kinds(200, 50)
    return made(four_kinds(2400, 51)[0], features_of(others, [f"x{i:03d}" for i in range(200)]))


def test_the_tables_keep_their_contracts(tables: UpliftTables) -> None:
    for contract, rows in zip(TABLES, tables, strict=True):
        contract.require(rows)
        assert rows.equals(rows.sort(contract.primary_key))
    assert tables.evaluation.height == 4
    chosen = tables.evaluation.row(by_predicate=pl.col("chosen"), named=True)
    assert chosen["is_used"]
    assert chosen["heterogeneity_found"]
    assert chosen["note"] == "Ranks better than chance and than a plain response model."
    ends = tables.curve.filter(pl.col("targeted_pct").is_in([0, 100])).select("candidate", "targeted_pct", "gain")
    assert ends.filter(pl.col("targeted_pct") == 0)["gain"].to_list() == [0.0] * 5
    np.testing.assert_allclose(
        ends.filter(pl.col("targeted_pct") == 100)["gain"], [chosen["average_treatment_effect"]] * 5
    )
    assert "expected response" in qini_curve(tables.curve, "spring")


def test_the_segments_are_those_that_were_planted(tables: UpliftTables) -> None:
    kinds = np.concatenate([four_kinds(2400, 51)[1], four_kinds(200, 50)[1]])
    names = [f"c{i:05d}" for i in range(2400)] + [f"x{i:03d}" for i in range(200)]
    truth = pl.DataFrame({"customer_id": names, "kind": kinds})
    scored = tables.scores.join(truth, on="customer_id")
    for scored_as, count in (("out_of_fold", 2400), ("tonight", 200)):
        rows = scored.filter(pl.col("scored_as") == scored_as)
        assert rows.height == count
        assert (rows["uplift_segment"] == rows["kind"]).sum() > 0.8 * count
    assert (scored["cate"] == scored["uplift_score"]).all()
    assert scored["uplift_decile"].value_counts().height == 10


def test_scores_do_not_depend_on_the_order_of_rows_and_repeat() -> None:
    given = world(800, 52)
    first, again = made(given), made(given, shuffled=True)
    for one, other in zip(first, again, strict=True):
        assert one.equals(other)


def test_scores_that_are_not_used_say_so() -> None:
    scores = made(world(800, 53, strength=0.0)).scores
    assert scores["cate"].null_count() == 800
    assert not scores["is_used"].any()
    assert scores["note"].unique().to_list() == ["Uplift of this campaign is not used: see models.uplift_evaluation."]


@pytest.mark.parametrize(
    ("treated", "responses", "size"), [(100, 50, 199), (0, 50, 400), (400, 50, 400), (100, 0, 400), (395, 50, 400)]
)
def test_a_campaign_with_too_little_is_refused_with_its_counts(treated: int, responses: int, size: int) -> None:
    place = np.arange(size)
    given = World(
        np.random.default_rng(0).normal(size=(size, 4)), (place < treated).astype(int),
        (place % size >= size - responses).astype(int), np.zeros(size), np.zeros(size),
    )  # fmt: skip
    tables = made(given)
    assert [rows.height for rows in tables] == [1, 0, 0, 0]
    (row,) = tables.evaluation.rows(named=True)
    assert (row["candidate"], row["chosen"], row["n_treated"], row["n_control"]) == (
        "none",
        False,
        treated,
        size - treated,
    )
    assert f"{size} assigned customers: {treated} treated" in row["note"]
    assert f"{responses} customers with a response" in row["note"]


def test_a_refused_campaign_stands_beside_one_that_is_learnt_from() -> None:
    given = world(800, 55)
    ids = [f"c{i:05d}" for i in range(800)]
    arms = list(zip(ids, given.treated.tolist(), given.response.tolist(), strict=True))
    rows = [{"customer_id": name, "treatment": arm, "outcome": responded} for name, arm, responded in arms]
    campaign = entered([*rows, *({**row, "campaign_id": "tiny"} for row in rows[:50])])
    then = dict.fromkeys(campaign["known"].unique(), features_of(given, ids))
    tables = uplift(
        campaign, then, then[campaign["known"][0]].lazy(), shop_id=SHOP, as_of=AS_OF, settings=Uplift(), seed=0
    )
    raced = tables.evaluation.group_by("campaign_id").len().sort("campaign_id")
    assert raced["campaign_id"].to_list() == ["spring", "tiny"]
    assert raced["len"].to_list() == [4, 1]


def test_customers_of_whom_nothing_is_known_are_no_campaign() -> None:
    given = world(400, 54)
    empty = World(np.full((400, 4), np.nan), given.treated, given.response, given.control_rate, given.treated_rate)
    (row,) = made(empty).evaluation.rows(named=True)
    assert "nothing was known before the assignment" in row["note"]


def test_without_campaigns_the_tables_are_empty() -> None:
    nobody = assigned(CampaignAssignments.empty().lazy(), IdentityMap.empty().lazy(), AS_OF, ZONE, 365)
    tables = uplift(nobody, {}, features_of(world(5, 0), list("abcde")).lazy(), shop_id=SHOP, as_of=AS_OF,
                    settings=Uplift(), seed=0)  # fmt: skip
    for contract, rows in zip(TABLES, tables, strict=True):
        assert rows.equals(contract.empty())
