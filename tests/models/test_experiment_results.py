"""Experiments are read as they were run: everyone assigned counts, from the right day on, and the intervals hold the truth."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.inputs.contracts import Engagement
from lifecycle_assets.models.experiment_results import ExperimentResults, experiment_results
from lifecycle_assets.settings import Shop, parse

FIRST, AS_OF = dt.date(2025, 3, 1), dt.date(2025, 3, 30)
SHOP = parse(Shop, "name: Lupe\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /nowhere\n", "lupe")


def _table(contract: Contract, **columns: object) -> pl.LazyFrame:
    given = pl.DataFrame({"shop_id": "lupe", "as_of": AS_OF, **columns})
    return given.select(
        (pl.col(name) if name in given.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in contract.polars_schema.items()
    ).lazy()


def _orders(customer: list[str], day: list[dt.date], amount: list[float], margin: float = 0.4) -> pl.LazyFrame:
    made = _table(
        Orders,
        customer_id=customer,
        order_id=[f"o{n}" for n in range(len(customer))],
        order_date=day,
        amount=amount,
        is_purchase=[value > 0 for value in amount],
    )
    return made.with_columns((pl.col("amount") * margin).cast(pl.Decimal(18, 4)).alias("margin"))


def _arms(customers: list[str], held_out: list[bool], experiment: str = "winback", share: float = 0.5) -> pl.LazyFrame:
    return _table(
        Assignments,
        experiment=[experiment] * len(customers),
        customer_id=customers,
        arm=["holdout" if out else "treatment" for out in held_out],
        bucket=["0"] * len(customers),
        holdout_share=[share] * len(customers),
    )


NOBODY = _table(Engagement, message_id=pl.Series([], dtype=pl.String))


def _results(
    arms: pl.LazyFrame, orders: pl.LazyFrame, engagement: pl.LazyFrame = NOBODY, **started: dt.date
) -> pl.DataFrame:
    made = experiment_results(
        arms, orders, engagement, started or {"winback": FIRST}, shop=SHOP, shop_id="lupe", as_of=AS_OF
    )
    ExperimentResults.require(made)
    return made


def _row(made: pl.DataFrame, metric: str) -> dict[str, object]:
    return made.row(by_predicate=pl.col("metric") == metric, named=True)


def test_only_what_follows_the_first_message_and_the_first_purchase_counts() -> None:
    day = dt.timedelta(days=1)
    customers = ["a", "b", "c", "d"]
    orders = _orders(
        ["a", "a", "b", "b", "c", "c", "d", "d", "d"],
        [
            FIRST - 40 * day, FIRST,  # on the first day: counts
            FIRST - 40 * day, FIRST - day,  # the day before: does not
            FIRST + 3 * day, FIRST + 5 * day,  # joined after the start: the second purchase counts
            FIRST - 40 * day, AS_OF, AS_OF + day,  # tomorrow's does not
        ],
        [10.0, 20.0, 10.0, 30.0, 40.0, 50.0, 10.0, 60.0, 1000.0],
    )  # fmt: skip
    made = _results(_arms(customers, [False, False, True, True]), orders)
    revenue = _row(made, "revenue")
    assert (revenue["mean_treated"], revenue["mean_control"]) == (10.0, 55.0)
    assert (revenue["n_treated"], revenue["n_control"], revenue["days"]) == (2, 2, 30)


def test_those_who_never_got_a_message_or_bought_nothing_count_as_well() -> None:
    orders = _orders(["a", "a"], [FIRST - dt.timedelta(days=9), FIRST], [10.0, 90.0])
    made = _results(_arms(["a", "b", "c", "d", "e"], [False, False, False, True, True]), orders)
    assert _row(made, "revenue")["mean_treated"] == pytest.approx(30.0)
    assert _row(made, "buyers")["mean_treated"] == pytest.approx(1 / 3)


def test_unsubscribes_are_a_guardrail() -> None:
    left = _table(
        Engagement,
        message_id=["m1", "m2"],
        customer_id=["a", "a"],
        channel=["email", "sms"],
        sent_at=[dt.datetime(2025, 3, 5, 9, tzinfo=dt.UTC)] * 2,
        unsubscribed_at=[dt.datetime(2025, 3, 5, 10, tzinfo=dt.UTC)] * 2,
    )
    made = _results(_arms(list("abcd"), [False, False, True, True]), _orders(["a"], [FIRST], [1.0]), left)
    assert (row := _row(made, "unsubscribed"))["is_guardrail"]
    assert row["mean_treated"] == 0.5


def test_an_unknown_cost_leaves_the_margin_out_and_the_rest_in() -> None:
    orders = _orders(["a", "a"], [FIRST - dt.timedelta(days=9), FIRST], [1.0, 2.0]).with_columns(
        pl.lit(None).cast(pl.Decimal(18, 4)).alias("margin")
    )
    made = _results(_arms(list("abcd"), [False, False, True, True]), orders)
    assert set(made["metric"]) == {"revenue", "orders", "buyers", "unsubscribed", "order_value"}


def test_nothing_is_said_without_messages_or_without_a_control() -> None:
    orders = _orders(["a"], [FIRST], [1.0])
    assert _results(_arms(["a", "b"], [False, True]), orders, winback=AS_OF + dt.timedelta(days=1)).is_empty()
    alone = _results(_arms(["a", "b", "c"], [False, False, True], share=0.3), orders)
    assert alone["difference"].null_count() == alone.height
    assert alone["note"].null_count() == 0
    assert _row(alone, "revenue")["sentence"] == "winback: nothing can be said of revenue yet."


def test_arms_of_the_wrong_size_are_told() -> None:
    customers = [f"c{n}" for n in range(1000)]
    made = _results(_arms(customers, [n < 300 for n in range(1000)], share=0.15), _orders(["c1"], [FIRST], [5.0]))
    assert made["note"].str.starts_with("Sample ratio mismatch").all()


def _world(rng: np.random.Generator, n: int, more: float) -> tuple[pl.LazyFrame, pl.LazyFrame, float]:
    """Customers who differ in how often they buy; the treated buy `more` often. Returns arms, orders and the margin that
    the treatment truly brings, on average over what may happen."""
    customers = np.array([f"c{k:05d}" for k in range(n)])
    held_out = rng.random(n) < 0.3
    rate = rng.gamma(0.8, 0.06, n)
    days = (AS_OF - FIRST).days + 1
    before, after = rng.poisson(rate * 90), rng.poisson(rate * days * np.where(held_out, 1, 1 + more))
    who = np.concatenate([np.repeat(np.arange(n), 1), np.repeat(np.arange(n), before), np.repeat(np.arange(n), after)])
    ago = np.concatenate([np.full(n, -200), -rng.integers(1, 91, before.sum()), rng.integers(0, days, after.sum())])
    dates = np.datetime64(FIRST) + ago
    amount = np.round(rng.gamma(4.0, 10.0, who.size), 2)
    orders = _orders(customers[who].tolist(), dates.astype(object).tolist(), amount.tolist())
    truth = 0.4 * 40.0 * (rate * days * more)[~held_out].sum()
    return _arms(customers.tolist(), held_out.tolist(), share=0.3), orders, float(truth)


def test_incremental_margin_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(11)
    runs, held, saved = 200, 0, []
    for _ in range(runs):
        arms, orders, truth = _world(rng, 900, 0.25)
        row = _row(_results(arms, orders), "margin")
        held += row["total_lo"] <= truth <= row["total_hi"]
        saved.append(row["variance_saved"])
    # Binomial standard error .015.
    assert held / runs == pytest.approx(0.95, abs=0.035)
    assert np.mean(saved) > 0.3


def test_the_sentence_tells_the_interval_and_whether_it_holds_an_effect() -> None:
    arms, orders, _ = _world(np.random.default_rng(12), 4000, 1.0)
    sentence = _row(_results(arms, orders), "margin")["sentence"]
    assert "winback earned +" in sentence and "(95 % CI +" in sentence and "no effect" not in sentence
    arms, orders, _ = _world(np.random.default_rng(13), 4000, 0.0)
    assert (
        "no effect is shown; one of 5% would probably show after" in _row(_results(arms, orders), "margin")["sentence"]
    )


def test_of_many_experiments_without_effect_few_are_called() -> None:
    rng = np.random.default_rng(14)
    arms, started = [], {}
    _, orders, _ = _world(rng, 1500, 0.0)
    customers = [f"c{k:05d}" for k in range(1500)]
    for number in range(30):
        name = f"e{number:02d}"
        arms.append(_arms(customers, (rng.random(1500) < 0.5).tolist(), name))
        started[name] = FIRST
    made = _results(pl.concat(arms), orders, **started)
    assert (made["q_value"] <= made.select(pl.col("p_value").min()).item() * 1.0001).sum() == 0
    assert (made["q_value"] < 0.05).sum() <= 2
    revenue = made.filter(pl.col("metric") == "revenue")
    assert revenue["shrunk"].std() < revenue["cuped"].std() / 2
