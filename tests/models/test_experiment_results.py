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
MANY = [f"e{number:02d}" for number in range(30)]
SHOP = parse(
    Shop,
    "name: Lupe\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /nowhere\nmeasurement: {experiments: {"
    f"{', '.join(f'{name}: {{}}' for name in MANY)}, abc: {{variants: {{b: 0.5, a: 0.25, c: 0.25}}}}}}}}",
    "lupe",
)


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


def _arms(
    customers: list[str],
    held_out: list[bool],
    experiment: str = "winback",
    share: float = 0.5,
    variants: list[str | None] | None = None,
) -> pl.LazyFrame:
    return _table(
        Assignments,
        experiment=[experiment] * len(customers),
        customer_id=customers,
        arm=["holdout" if out else "treatment" for out in held_out],
        variant=pl.Series(variants or [None] * len(customers), dtype=pl.String),
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
    for name in MANY:
        arms.append(_arms(customers, (rng.random(1500) < 0.5).tolist(), name))
        started[name] = FIRST
    made = _results(pl.concat(arms), orders, **started)
    assert (made["q_value"] <= made.select(pl.col("p_value").min()).item() * 1.0001).sum() == 0
    assert (made["q_value"] < 0.05).sum() <= 2
    revenue = made.filter(pl.col("metric") == "revenue")
    assert revenue["shrunk"].std() < revenue["cuped"].std() / 2


def _variants(rng: np.random.Generator, n: int) -> tuple[pl.LazyFrame, pl.LazyFrame, np.ndarray]:
    """Customers of the experiment abc who buy once or not at all: of its variant c twice as many as of the others and of those
    held out. Returns arms, orders and the variant of each ("" for those held out)."""
    drawn = rng.choice(["", "b", "a", "c"], n, p=[0.2, 0.4, 0.2, 0.2])
    customers = [f"c{k:05d}" for k in range(n)]
    bought = np.flatnonzero(rng.random(n) < np.where(drawn == "c", 0.4, 0.2))
    arms = _arms(customers, (drawn == "").tolist(), "abc", 0.2, [str(name) or None for name in drawn])
    joined = [FIRST - dt.timedelta(days=200)] * n
    orders = _orders(
        [*customers, *(customers[k] for k in bought)],
        [*joined, *[FIRST] * bought.size],
        [1.0] * n + [50.0] * bought.size,
    )
    return arms, orders, drawn


def test_each_variant_is_compared_with_those_held_out_and_with_the_first_one() -> None:
    arms, orders, drawn = _variants(np.random.default_rng(15), 6000)
    buyers = _results(arms, orders, abc=FIRST).filter(pl.col("metric") == "buyers")
    pairs = [("a", "b"), ("a", "holdout"), ("all", "holdout"), ("b", "holdout"), ("c", "b"), ("c", "holdout")]
    assert buyers.select("variant", "control").rows() == pairs
    sizes = {name: int((drawn == name).sum()) for name in ("a", "b", "c")} | {"holdout": int((drawn == "").sum())}
    sizes["all"] = 6000 - sizes["holdout"]
    assert buyers.select("n_treated", "n_control").rows() == [(sizes[one], sizes[two]) for one, two in pairs]
    shown = buyers.filter((pl.col("lo") > 0) | (pl.col("hi") < 0)).select("variant", "control").rows()
    assert shown == [("all", "holdout"), ("c", "b"), ("c", "holdout")]
    assert (buyers["mismatch_p"] > 0.001).all()
    sentence = buyers.filter(pl.col("control") == "b")["sentence"].to_list()[1]
    assert sentence.startswith("abc, variant c in place of b brought +")
    assert f"{sizes['c']:,} customers treated and {sizes['b']:,} with b" in sentence


def test_a_variant_that_lost_customers_is_told_though_the_whole_is_almost_right() -> None:
    arms, orders, _ = _variants(np.random.default_rng(16), 6000)
    lost = arms.filter((pl.col("variant") != "c").fill_null(value=True) | (pl.col("customer_id").str.slice(-1) > "3"))
    made = _results(lost, orders, abc=FIRST).filter(pl.col("metric") == "revenue")
    told = made.filter(pl.col("note").str.starts_with("Sample ratio mismatch")).select("variant", "control").rows()
    assert told == [("c", "b"), ("c", "holdout")]


def test_an_experiment_whose_arms_are_wrong_is_not_put_beside_the_others() -> None:
    rng = np.random.default_rng(17)
    _, orders, _ = _world(rng, 2000, 0.0)
    customers = [f"c{k:05d}" for k in range(2000)]
    right = [_arms(customers, (rng.random(2000) < 0.5).tolist(), name) for name in MANY[:3]]
    wrong = _arms(customers, (rng.random(2000) < 0.3).tolist(), MANY[3])
    started = dict.fromkeys(MANY[:3], FIRST)
    alone = _results(pl.concat(right), orders, **started)
    beside = _results(pl.concat([*right, wrong]), orders, **started, **{MANY[3]: FIRST})
    is_wrong = pl.col("experiment") == MANY[3]
    assert beside.filter(is_wrong)["shrunk"].null_count() == beside.filter(is_wrong).height
    assert beside.filter(~is_wrong)["shrunk"].to_list() == alone["shrunk"].to_list()


def test_looked_at_for_ninety_nights_an_experiment_without_effect_is_seldom_called_one() -> None:
    """The sentences of 40 experiments alone in their shops, on ten of ninety nights."""
    rng = np.random.default_rng(18)
    n, worlds, nights = 300, 40, [3, 6, 9, 13, 18, 25, 35, 50, 70, 90]
    customers = [f"c{k:03d}" for k in range(n)]
    claimed = 0
    for _ in range(worlds):
        rate = rng.gamma(0.8, 0.06, n)
        bought = rng.poisson(rate[:, None], (n, 180))
        who, day = np.nonzero(bought)
        dates = (np.datetime64(FIRST - dt.timedelta(days=90)) + day).astype(object).tolist()
        joined = [FIRST - dt.timedelta(days=200)] * n
        orders = _orders(
            [*customers, *(customers[k] for k in who)],
            [*joined, *dates],
            [1.0] * n + rng.gamma(4, 10, who.size).tolist(),
        )
        arms = _arms(customers, (rng.random(n) < 0.5).tolist())
        told = [
            _row(
                experiment_results(
                    arms,
                    orders,
                    NOBODY,
                    {"winback": FIRST},
                    shop=SHOP,
                    shop_id="lupe",
                    as_of=FIRST + dt.timedelta(days=night),
                ),
                "margin",
            )["sentence"]
            for night in nights
        ]
        claimed += any("no effect" not in str(one) and "not sure" not in str(one) for one in told)
    assert claimed / worlds <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)
