"""The share of ascribed orders that messages cause: near the truth where there is evidence of it, and honest where not."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.inputs.contracts import Engagement, OrderLines
from lifecycle_assets.models.caused_share import CausedShare, believed, caused_share
from lifecycle_assets.models.experiment_results import ExperimentResults, experiment_results
from lifecycle_assets.settings import Shop, parse

FIRST, AS_OF = dt.date(2025, 3, 1), dt.date(2025, 3, 30)
NAMES = ["winback", "welcome", "upgrade", "cross_sell", "vip_care", "triggers"]
SHOP = parse(Shop, "name: Lupe\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /nowhere\n", "lupe")


def _table(contract: Contract, given: pl.DataFrame) -> pl.LazyFrame:
    given = given.with_columns(shop_id=pl.lit("lupe"), as_of=pl.lit(AS_OF))
    return given.select(
        (pl.col(name) if name in given.columns else pl.lit(None)).cast(dtype, strict=False).alias(name)
        for name, dtype in contract.polars_schema.items()
    ).lazy()


def _world(rng: np.random.Generator, shares: np.ndarray, n: int, moved: float = 0.2) -> tuple[pl.LazyFrame, ...]:
    """A month of a shop of `n` customers with an experiment for each of the shares: of the orders that its messages are
    credited with, that share would not have come. Everyone treated gets one message of each; `moved` of them answer with an
    order. Orders of their own, that nothing is credited with, come on top. Returns what caused_share takes."""
    customers = np.array([f"c{k:05d}" for k in range(n)])
    days = (AS_OF - FIRST).days + 1
    own = rng.poisson(rng.gamma(0.8, 0.01, n) * days)
    arms, sent, credited, bought = [], [], [], [np.repeat(np.arange(n), own)]
    for name, share in zip(NAMES, shares, strict=False):
        treated = rng.random(n) < 0.7
        answered = np.flatnonzero(treated & (rng.random(n) < moved))
        more = answered[rng.random(answered.size) < share]
        # Who would have come anyway comes in the holdout as well, and nothing is credited there.
        anyway = np.flatnonzero(~treated & (rng.random(n) < moved * (1 - share)))
        arms.append(
            pl.DataFrame(
                {"experiment": name, "customer_id": customers, "arm": np.where(treated, "treatment", "holdout")}
            )
        )
        sent.append(pl.DataFrame({"message_id": [f"{name}{k}" for k in np.flatnonzero(treated)], "experiment": name}))
        credited.append(pl.DataFrame({"message_id": [f"{name}{k}" for k in answered], "who": answered}))
        bought += [more, anyway, np.setdiff1d(answered, more)]
    who = np.concatenate(bought)
    dates = np.datetime64(FIRST) + rng.integers(1, days, who.size)
    joined = np.full(n, np.datetime64(FIRST - dt.timedelta(days=200)))
    orders = pl.DataFrame({
        "customer_id": np.concatenate([customers, customers[who]]), "order_date": np.concatenate([joined, dates]),
        "amount": 10.0, "margin": 4.0, "is_purchase": True,
    })  # fmt: skip
    at = pl.lit(dt.datetime.combine(FIRST, dt.time(9), dt.UTC))
    answers = pl.concat(credited).with_columns(customer_id=pl.Series(customers).gather(pl.concat(credited)["who"]))
    engagement = answers.with_columns(channel=pl.lit("email"), sent_at=at, converted_at=at + dt.timedelta(hours=5))
    assigned = pl.concat(arms).with_columns(holdout_share=pl.lit(0.3), bucket=pl.lit("0"))
    return (
        _table(Assignments, assigned),
        _table(Orders, orders),
        _table(Engagement, engagement),
        pl.concat(sent).lazy(),
    )


def _measured(world: tuple[pl.LazyFrame, ...], n_experiments: int) -> pl.DataFrame:
    arms, orders, engagement, sent = world
    nobody = _table(Engagement, pl.DataFrame({"message_id": []}, schema={"message_id": pl.String}))
    lines = _table(OrderLines, pl.DataFrame({"order_id": []}, schema={"order_id": pl.String}))
    started = dict.fromkeys(NAMES[:n_experiments], FIRST)
    results = experiment_results(arms, orders, nobody, started, shop=SHOP, shop_id="lupe", as_of=AS_OF)
    made = caused_share(
        results.lazy(), arms, orders, engagement, lines, sent, shop=SHOP, as_of=AS_OF, messages_since=None
    )
    CausedShare.require(made)
    return made


def _believed(made: pl.DataFrame) -> np.ndarray:
    return believed(0.5, made["measured"].to_numpy(), made["error"].to_numpy())[0]


def test_programmes_that_differ_are_told_apart_where_there_is_evidence() -> None:
    shares = np.array([0.1, 0.9, 0.4])
    made = _measured(_world(np.random.default_rng(21), shares, 30_000, moved=0.3), 3)
    found = _believed(made.sort(pl.col("experiment").replace_strict({n: k for k, n in enumerate(NAMES)})))
    assert found == pytest.approx(shares, abs=0.1)


def test_the_truth_is_approached_and_covered_and_little_data_is_not_overread() -> None:
    """Shares drawn at random, in shops of every size: what is believed is nearer to the truth than the convention and than
    the raw ratio."""
    rng = np.random.default_rng(22)
    errors: dict[int, list[np.ndarray]] = {}
    for n, worlds in ((300, 40), (3000, 20), (20_000, 10)):
        rows = []
        for _ in range(worlds):
            shares = rng.beta(2, 2, len(NAMES))
            made = _measured(_world(rng, shares, n), len(NAMES)).drop_nulls("measured")
            truth = (
                made["experiment"]
                .replace_strict(dict(zip(NAMES, shares, strict=True)), return_dtype=pl.Float64)
                .to_numpy()
            )
            found = _believed(made)
            rows.append(np.stack([found - truth, 0.5 - truth, made["measured"].to_numpy() - truth]))
        errors[n] = list(np.concatenate(rows, axis=1))
    for n, (ours, convention, raw) in errors.items():
        assert np.sqrt(np.mean(ours**2)) < 1.1 * np.sqrt(np.mean(convention**2)), n
        assert np.sqrt(np.mean(ours**2)) < 1.1 * np.sqrt(np.mean(raw**2)), n
    assert np.mean(errors[20_000][0] ** 2) < np.mean(errors[20_000][1] ** 2) / 4


def test_the_winner_of_many_is_not_overstated() -> None:
    rng = np.random.default_rng(23)
    truth, error = rng.normal(0.4, 0.05, (150, 12)).clip(0, 1), 0.3
    measured = truth + error * rng.standard_normal(truth.shape)
    best = measured.argmax(axis=1)
    found = np.array([believed(0.5, row, np.full(12, error))[0][at] for row, at in zip(measured, best, strict=True)])
    true = np.take_along_axis(truth, best[:, None], axis=1)[:, 0]
    overstated = np.take_along_axis(measured, best[:, None], axis=1)[:, 0] - true
    assert overstated.mean() > 0.4
    assert abs((found - true).mean()) < 0.1


def test_nothing_known_is_nothing_changed() -> None:
    found, of_others = believed(0.5, np.array([-3.0]), np.array([50.0]))
    assert [*found, of_others] == pytest.approx([0.5, 0.5], abs=0.02)
    found, _ = believed(0.5, np.array([0.2]), np.array([0.001]))
    assert found == pytest.approx([0.2], abs=0.01)


def test_one_that_has_measured_nothing_is_believed_to_be_like_those_that_have() -> None:
    _, of_others = believed(0.5, np.full(8, 0.05), np.full(8, 0.02))
    assert 0.05 < of_others < 0.2
    rng = np.random.default_rng(24)
    truth = rng.beta(4, 12, (300, 7))
    measured = truth[:, :6] + 0.1 * rng.standard_normal((300, 6))
    found = np.array([believed(0.5, row, np.full(6, 0.1))[1] for row in measured])
    assert np.mean((found - truth[:, 6]) ** 2) < np.mean((0.5 - truth[:, 6]) ** 2) / 2


def _row(**values: object) -> pl.LazyFrame:
    told = {"variant": "all", "control": "holdout", "metric": "orders", "mismatch_p": 0.5, "n_treated": 1000}
    effect = {
        "cuped": 0.01,
        "cuped_lo": 0.01 - 0.0196,
        "cuped_hi": 0.01 + 0.0196,
        "started_on": AS_OF - dt.timedelta(days=2),
    }
    return _table(ExperimentResults, pl.DataFrame({"experiment": "winback", **told, **effect, **values}))


@pytest.fixture
def answers() -> dict[str, pl.LazyFrame]:
    """Twenty messages of winback to twenty customers: 16 converted, one of them too late, one after as_of; the last two were
    answered by an order line that names them; c00 and c01 are held out or not in the experiment."""
    sent = dt.datetime(2025, 3, 28, 9, tzinfo=dt.UTC)
    hours = [*[5] * 14, 200, 24 * 2 + 20, *[None] * 4]
    engagement = pl.DataFrame({
        "message_id": [f"m{k:02d}" for k in range(20)], "customer_id": [f"c{k:02d}" for k in range(20)], "channel": "email",
        "sent_at": [sent] * 20, "converted_at": [sent + dt.timedelta(hours=h) if h else None for h in hours],
    })  # fmt: skip
    lines = pl.DataFrame({
        "order_id": ["o1", "o2"], "customer_id": ["c18", "c19"], "message_id": ["m18", "m19"], "status": "completed",
        "quantity": 1.0, "ordered_at": [sent + dt.timedelta(hours=1), sent + dt.timedelta(days=4)],
    })  # fmt: skip
    arms = pl.DataFrame({"experiment": "winback", "customer_id": [f"c{k:02d}" for k in range(19)], "arm": "treatment"})
    arms = arms.filter(pl.col("customer_id") != "c01").with_columns(
        arm=pl.when(pl.col("customer_id") == "c00").then(pl.lit("holdout")).otherwise("arm")
    )
    return {
        "assignments": _table(Assignments, arms),
        "orders": Orders.empty().lazy(),
        "engagement": _table(Engagement, engagement),
        "order_lines": _table(OrderLines, lines),
        "experiments": pl.LazyFrame({"message_id": [f"m{k:02d}" for k in range(20)], "experiment": "winback"}),
    }


def test_orders_are_ascribed_as_the_posteriors_do_and_nothing_after_as_of_counts(
    answers: dict[str, pl.LazyFrame],
) -> None:
    made = caused_share(_row(), **answers, shop=SHOP, as_of=AS_OF, messages_since=None)
    # Twelve of the fourteen that converted in time and were treated, and one that an order line names.
    assert made.select("ascribed", "note").row(0) == (13, None)
    assert made["measured"].item() == pytest.approx(10 / 13)
    assert made["error"].item() == pytest.approx(np.hypot(10 / 13, (10 / 13) / np.sqrt(13)), rel=1e-4)


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ({"mismatch_p": 1e-5}, "Its arms are not as large as configured."),
        ({"cuped": None, "cuped_lo": None, "cuped_hi": None}, "Too few customers or orders in an arm."),
        ({"cuped_lo": 0.01, "cuped_hi": 0.01}, "Too few customers or orders in an arm."),
        ({"experiment": "welcome"}, "No order is ascribed to its messages yet."),
    ],
)
def test_what_cannot_be_measured_says_why(row: dict[str, object], note: str, answers: dict[str, pl.LazyFrame]) -> None:
    made = caused_share(_row(**row), **answers, shop=SHOP, as_of=AS_OF, messages_since=None)
    CausedShare.require(made)
    assert made.select("measured", "error", "note").row(0) == (None, None, note)


def test_without_results_there_are_no_rows(answers: dict[str, pl.LazyFrame]) -> None:
    assert caused_share(
        ExperimentResults.empty().lazy(), **answers, shop=SHOP, as_of=AS_OF, messages_since=None
    ).is_empty()


def test_orders_brought_and_ascribed_are_counted_over_one_span_when_old_messages_have_gone() -> None:
    """Two years of a programme that writes every month and causes .3 of the orders ascribed to it. Of the first year its
    messages are not known any more, or the shop's export of what came of them does not tell."""
    rng = np.random.default_rng(25)
    n, months, start = 8000, 24, AS_OF - dt.timedelta(days=720)
    customers = np.array([f"c{k:04d}" for k in range(n)])
    treated = rng.random(n) < 0.7
    bought = [pl.DataFrame({"customer_id": customers, "order_date": [start - dt.timedelta(days=200)] * n})]
    answers = []
    for month in range(months):
        sent_on = start + dt.timedelta(days=30 * month)
        answered = treated & (rng.random(n) < 0.05)
        anyway = np.where(treated, answered, rng.random(n) < 0.05 * 0.7)
        bought.append(pl.DataFrame({"customer_id": customers[anyway], "order_date": [sent_on] * int(anyway.sum())}))
        at = dt.datetime.combine(sent_on, dt.time(9), dt.UTC)
        answers.append(
            pl.DataFrame(
                {"message_id": [f"{month}-{k}" for k in np.flatnonzero(answered)], "sent_at": at}
            ).with_columns(
                customer_id=pl.Series(customers[answered]),
                channel=pl.lit("email"),
                converted_at=at + dt.timedelta(hours=5),
            )
        )
    orders = pl.concat(bought).with_columns(amount=10.0, margin=4.0, is_purchase=True)
    arms = pl.DataFrame({"experiment": "winback", "customer_id": customers, "holdout_share": 0.3, "bucket": "0"})
    told = pl.concat(answers)
    arms = arms.with_columns(arm=pl.Series(np.where(treated, "treatment", "holdout")))
    world = _table(Assignments, arms), _table(Orders, orders)
    nobody, lines = _table(Engagement, told.clear()), OrderLines.empty().lazy()
    results = experiment_results(*world, nobody, {"winback": start}, shop=SHOP, shop_id="lupe", as_of=AS_OF)
    middle = start + dt.timedelta(days=360)
    in_ledger = told.with_columns(experiment=pl.lit("winback")).filter(pl.col("sent_at").dt.date() >= middle)

    def share(engagement: pl.DataFrame, messages_since: dt.date | None) -> dict[str, Any]:
        made = caused_share(
            results.lazy(), *world, _table(Engagement, engagement), lines, in_ledger.select("message_id", "experiment").lazy(),
            shop=SHOP, as_of=AS_OF, messages_since=messages_since,
        )  # fmt: skip
        return made.row(0, named=True)

    pruned = share(told, middle)
    assert pruned["since"] == middle
    assert pruned["measured"] == pytest.approx(0.3, abs=2 * pruned["error"]) and pruned["error"] < 0.12
    assert share(told.join(in_ledger, on="message_id", how="semi"), None) == pruned
    # Of one that starts later than its messages are known nothing changes.
    assert share(told, start - dt.timedelta(days=9))["since"] == start
