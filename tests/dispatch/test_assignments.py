"""Arms of experiments: stable, balanced, independent of the order of rows and of each other."""

import datetime as dt
import hashlib

import duckdb
import polars as pl
import pytest

from lifecycle_assets.dispatch.assignments import Assignments, assignments, threshold
from lifecycle_assets.settings import Experiment

CUSTOMERS = pl.DataFrame(
    {"shop_id": "lupe", "as_of": dt.date(2025, 3, 1), "customer_id": [f"c{number}" for number in range(40_000)]}
)


def run(experiments: dict[str, Experiment], customers: pl.DataFrame = CUSTOMERS) -> pl.DataFrame:
    with duckdb.connect(":memory:") as connection:
        connection.execute("CREATE SCHEMA features")
        connection.register("given", customers)
        connection.execute("CREATE TABLE features.customer_features AS FROM given")
        rows = connection.sql(assignments(experiments).to("duckdb")).pl()
    frame = Assignments.conform(rows.lazy()).collect().sort(Assignments.primary_key)
    Assignments.require(frame)
    return frame


def test_the_arm_is_a_hash_of_salt_experiment_and_customer_alone() -> None:
    drawn = run({"winback": Experiment(holdout_share=0.15, salt="s1")}, CUSTOMERS.head(500))
    for customer, arm, bucket in drawn.select("customer_id", "arm", "bucket").iter_rows():
        digest = hashlib.md5(f"s1|winback|{customer}".encode(), usedforsecurity=False).hexdigest()
        assert bucket == digest[:8]
        assert arm == ("holdout" if int(digest[:8], 16) < 0.15 * 2**32 else "treatment")


def test_arms_do_not_depend_on_the_order_of_rows_the_night_or_who_else_is_there() -> None:
    experiments = {"winback": Experiment(), "welcome": Experiment()}
    drawn = run(experiments)
    other = CUSTOMERS.sample(fraction=0.5, shuffle=True, seed=1).with_columns(as_of=pl.lit(dt.date(2025, 4, 1)))
    key = ["experiment", "customer_id"]
    both = drawn.join(run(experiments, other), on=key, suffix="_later")
    assert both.height == 2 * other.height
    assert (both["arm"] == both["arm_later"]).all()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.15, 0.5, 1.0])
def test_the_share_is_right(share: float) -> None:
    held = (run({"winback": Experiment(holdout_share=share)})["arm"] == "holdout").mean()
    assert held is not None
    margin = 4 * (share * (1 - share) / CUSTOMERS.height) ** 0.5  # four standard errors
    assert abs(float(held) - share) <= margin  # type: ignore[arg-type]


def test_two_experiments_and_two_salts_are_independent() -> None:
    experiments = {
        "a": Experiment(holdout_share=0.5),
        "b": Experiment(holdout_share=0.5),
        "c": Experiment(holdout_share=0.5, salt="again"),
    }
    wide = run(experiments).pivot("experiment", index="customer_id", values="arm")
    for one, two in [("a", "b"), ("a", "c"), ("b", "c")]:
        same = float((wide[one] == wide[two]).mean())  # type: ignore[arg-type]
        assert abs(same - 0.5) < 4 * (0.25 / CUSTOMERS.height) ** 0.5


def test_no_experiments_no_rows_and_thresholds_order_as_text() -> None:
    assert run({}).is_empty()
    shares = [0.0, 1e-9, 0.15, 0.5, 0.999, 1.0]
    limits = [threshold(share) for share in shares]
    assert limits == sorted(limits)
    assert limits[0] == "00000000"
    assert limits[-1] > "ffffffff"


@pytest.mark.parametrize("dialect", ["spark", "postgres"])
def test_the_statement_is_sayable_elsewhere(dialect: str) -> None:
    assert "MD5" in assignments({"winback": Experiment()}).to(dialect).upper()
