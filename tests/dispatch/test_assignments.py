"""Arms of experiments: stable, balanced, independent of the order of rows and of each other."""

import datetime as dt
import hashlib

import duckdb
import polars as pl
import pytest
from scipy.stats import chi2_contingency, chisquare

from lifecycle_assets.dispatch.assignments import Assignments, assignments, threshold
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.settings import Experiment, Shop, parse

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


def test_the_arms_are_those_of_the_first_release() -> None:
    """A customer who is held out stays held out: the arms of these customers were written down before there were variants."""
    experiments = {name: Experiment(salt=salt) for name, salt in (("winback", ""), ("welcome", "s1"))}
    rows = run(experiments, CUSTOMERS.head(2000)).sort("experiment", "customer_id")
    lines = "".join(f"{'|'.join(row)}\n" for row in rows.select("experiment", "customer_id", "arm", "bucket").rows())
    assert (
        hashlib.sha256(lines.encode()).hexdigest() == "aa4c029570c9a2e2f1ec4783bd9c807fc70a0b3b67c73b5d1cf449ed5626b965"
    )
    assert rows["variant"].null_count() == rows["layer"].null_count() == rows.height


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


VARIANTS = {"a": 0.5, "b": 0.3, "c": 0.2}


def test_variants_share_the_treated_out_and_change_nobody_else() -> None:
    plain, drawn = run({"winback": Experiment()}), run({"winback": Experiment(variants=VARIANTS)})
    assert plain.drop("variant").equals(drawn.drop("variant"))
    assert (drawn["variant"].is_null() == (drawn["arm"] == "holdout")).all()
    counts = drawn["variant"].drop_nulls().value_counts().sort("variant")["count"].to_numpy()
    assert chisquare(counts, counts.sum() * pl.Series(VARIANTS.values()).to_numpy()).pvalue > 0.001


def test_the_variants_of_an_experiment_say_nothing_of_the_arms_of_another() -> None:
    experiments = {name: Experiment(holdout_share=0.4, variants=VARIANTS) for name in ("one", "two")}
    wide = run(experiments).with_columns(cell=pl.coalesce("variant", "arm"))
    wide = wide.pivot("experiment", index="customer_id", values="cell")
    table = wide.pivot("two", index="one", values="customer_id", aggregate_function="len").drop("one")
    assert chi2_contingency(table.to_numpy()).pvalue > 0.001


IN_LAYER = {
    "one": Experiment(layer="offers", traffic=(0.0, 0.3), variants={"a": 0.5, "b": 0.5}),
    "two": Experiment(layer="offers", traffic=(0.3, 0.8), holdout_share=0.3),
}


def test_nobody_is_in_two_experiments_of_a_layer() -> None:
    rows = run(IN_LAYER)
    assert rows["customer_id"].is_unique().all()
    assert set(rows["layer"]) == {"offers"}
    inside = [(rows["experiment"] == name).sum() for name in IN_LAYER]
    sizes = [*inside, CUSTOMERS.height - rows.height]
    assert chisquare(sizes, [CUSTOMERS.height * share for share in (0.3, 0.5, 0.2)]).pvalue > 0.001
    for name, held_out in (("one", 0.15), ("two", 0.3)):
        arms = rows.filter(pl.col("experiment") == name)["arm"] == "holdout"
        # Who takes part and who is held out are drawn apart.
        assert (
            chisquare([arms.sum(), (~arms).sum()], [arms.len() * held_out, arms.len() * (1 - held_out)]).pvalue > 0.001
        )


def test_another_experiment_moves_nobody_who_is_in_one() -> None:
    more = {
        "aaa": Experiment(layer="offers", traffic=(0.8, 1.0)),
        **IN_LAYER,
        "zzz": Experiment(layer="hours", traffic=(0.0, 0.5)),
    }
    rows = run(more)
    assert rows.filter(pl.col("experiment").is_in(["one", "two"])).equals(run(IN_LAYER))
    assert rows.filter(pl.col("layer") == "offers")["customer_id"].is_unique().all()


def test_layers_are_independent_of_each_other() -> None:
    rows = run(
        {**IN_LAYER, "hours": Experiment(layer="hours", traffic=(0.0, 0.5)), "free": Experiment(holdout_share=0.5)}
    )
    wide = CUSTOMERS.select("customer_id")
    for layer in ("offers", "hours", None):
        there = rows.filter(pl.col("layer").eq_missing(pl.lit(layer)))
        cell = pl.concat_str("experiment", "arm").alias(str(layer))
        wide = wide.join(there.select("customer_id", cell), on="customer_id", how="left")
    for one, two in (("offers", "hours"), ("offers", "None"), ("hours", "None")):
        cells = wide.group_by(one, two).len().pivot(two, index=one, values="len").drop(one)
        assert chi2_contingency(cells.to_numpy()).pvalue > 0.001


@pytest.mark.parametrize(
    ("experiment", "told"),
    [
        ("{traffic: [0.5, 0.2], layer: l}", "the second number must be the higher one"),
        ("{traffic: [0, 0.2]}", "name the layer"),
        ("{variants: {a: 0.5, b: 0.4}}", "there are 2 with 0.9 in all"),
        ("{variants: {a: 0.5, holdout: 0.5}}", "holdout is the name of an arm"),
        (
            "{layer: l, traffic: [0, 0.6]}, welcome: {layer: l, traffic: [0.5, 1]}",
            "winback and welcome overlap in the layer l",
        ),
    ],
)
def test_an_experiment_that_cannot_be_run_is_refused(experiment: str, told: str) -> None:
    text = "name: Lupe\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /nowhere\n"
    with pytest.raises(SettingsError, match=told):
        parse(Shop, f"{text}measurement: {{experiments: {{winback: {experiment}}}}}", "lupe")


def test_an_offer_names_a_variant_of_its_programmes_own_experiment() -> None:
    text = "name: Lupe\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /nowhere\n"
    variants = (
        "measurement: {experiments: {winback: {variants: {a: 0.5, b: 0.5}}, welcome: {variants: {a: 0.5, b: 0.5}}}}\n"
    )
    offer = "routing: {{offers: {{winback_10: {{variant: {}}}}}}}\n"
    assert parse(Shop, text + variants + offer.format("winback.a"), "lupe").routing.offers["winback_10"].variant
    with pytest.raises(SettingsError, match=r"no variant 'winback.c'; did you mean winback.b"):
        parse(Shop, text + variants + offer.format("winback.c"), "lupe")
    with pytest.raises(SettingsError, match=r"another experiment than that of welcome.a"):
        parse(Shop, text + variants + offer.format("welcome.a"), "lupe")


@pytest.mark.parametrize("dialect", ["spark", "postgres"])
def test_the_statement_is_sayable_elsewhere(dialect: str) -> None:
    assert "MD5" in assignments({"winback": Experiment(), **IN_LAYER}).to(dialect).upper()


@pytest.mark.parametrize(("share", "digits"), [(0.0, "00000000"), (0.5, "80000000"), (1 - 1e-10, "g"), (1.0, "g")])
def test_a_threshold_has_eight_digits_or_is_beyond_every_hash(share: float, digits: str) -> None:
    assert threshold(share) == digits
