"""The judges of past scores on planted truth: scores that are the truth are called so, and outcomes end where they should."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import clv_world
import numpy as np
import polars as pl
import pytest
from made_shop import SHOP, frame

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.inputs.contracts import Engagement, OrderLines, Products
from lifecycle_assets.models.backtest import SCORES, Backtest, hash_of, judged, origins, told
from lifecycle_assets.models.backtest_figures import Figure
from lifecycle_assets.models.backtest_known import Judged, Known
from lifecycle_assets.models.backtest_lists import recommendations
from lifecycle_assets.models.backtest_months import forecast_revenue
from lifecycle_assets.models.backtest_probabilities import propensity_buy, propensity_respond
from lifecycle_assets.models.backtest_values import clv
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.models.propensity_buy import PropensityBuy
from lifecycle_assets.models.propensity_respond import PropensityRespond
from lifecycle_assets.models.recommendations import UserRecommendations
from lifecycle_assets.settings import Shop

DAY, END = dt.date(2024, 5, 31), dt.date(2024, 12, 31)
SETTINGS = Shop.model_validate({"name": "Made", "timezone": "UTC", "currency": "EUR", "country": "ES", "input": "none"})
PEOPLE, GOODS = 600, 5
NOTHING = {contract.table: contract.empty().lazy() for contract, _, _ in SCORES.values()}


def known(lines: pl.DataFrame, take: Callable[[dt.date], Snapshot] | None = None, **parts: Any) -> Known:
    """Tonight's knowledge of a shop of these order lines."""
    given = {"engagement": Engagement.empty(), "settled": END} | parts
    return Known(
        shop=SHOP,
        settings=SETTINGS,
        settled=given["settled"],
        order_lines=lines.lazy(),
        engagement=given["engagement"].lazy(),
        identity_map=IdentityMap.empty().lazy(),
        products_on=lambda _: Products.empty().lazy(),
        take=take or pytest.fail,
    )


def bought(rows: list[tuple[int, int, int]], price: float = 10.0) -> pl.DataFrame:
    """Order lines of (customer, product, days after DAY)."""
    return frame(
        OrderLines,
        [
            {
                "line_no": number,
                "order_id": f"O{number}",
                "customer_id": f"C{customer:04d}",
                "ordered_at": dt.datetime.combine(DAY + dt.timedelta(days=days), dt.time(12), dt.UTC),
                "order_date": DAY + dt.timedelta(days=days),
                "product_id": f"P{product}",
                "quantity": 1.0,
                "unit_price": price,
                "discount_amount": 0.0,
                "amount": Decimal(str(price)),
                "status": "completed",
            }
            for number, (customer, product, days) in enumerate(rows, start=1)
        ],
    )


def said(contract: Contract, rows: dict[str, Any]) -> dict[str, pl.LazyFrame]:
    """A score table with these columns, others null."""
    given = pl.DataFrame({"shop_id": SHOP, "as_of": DAY, **rows})
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in given.columns]
    return {contract.table: contract.conform(given.lazy().with_columns(absent))}


def figures(verdict: Judged) -> dict[str, Figure]:
    return {figure.metric: figure for figure in verdict.figures}


def true_area(p: np.ndarray) -> float:
    """The area under the curve that probabilities have for labels drawn from them."""
    p = np.sort(p)
    below = np.concatenate([[0.0], np.cumsum(1 - p)[:-1]])
    return float((p * below).sum() / (p.sum() * (1 - p).sum()))


def buyers(rng: np.random.Generator) -> tuple[np.ndarray, pl.DataFrame]:
    """True probabilities of each customer buying each product within 30 days, and the order lines that came of them."""
    truth = rng.beta(1, 4, (PEOPLE, GOODS))
    before = [
        (who, what, -int(rng.integers(1, 200))) for who in range(PEOPLE) for what in range(GOODS) if rng.random() < 0.4
    ]
    happened = np.argwhere(rng.random(truth.shape) < truth)
    # Those who did not buy in time do so on the day itself or a day too late, which is not foretold.
    late = [
        (who, what, int(rng.choice([0, 31]))) for who in range(PEOPLE) for what in range(GOODS) if rng.random() < 0.1
    ]
    return truth, bought([*before, *((who, what, int(rng.integers(1, 31))) for who, what in happened), *late])


def of_pairs(probability: np.ndarray) -> dict[str, pl.LazyFrame]:
    who, what = np.divmod(np.arange(PEOPLE * GOODS), GOODS)
    return said(
        PropensityBuy,
        {
            "customer_id": [f"C{i:04d}" for i in who],
            "product_id": [f"P{i}" for i in what],
            "probability": probability.ravel(),
        },
    )


def test_true_probabilities_of_purchases_are_found_true_and_useless_ones_useless() -> None:
    rng, held, half = np.random.default_rng(5), 0, 0
    for _ in range(12):
        truth, lines = buyers(rng)
        [verdict] = propensity_buy(of_pairs(truth), DAY, known(lines))
        told = figures(verdict)
        assert told["auc"].n == PEOPLE * GOODS
        held += told["auc"].lo <= true_area(truth.ravel()) <= told["auc"].hi
        held += told["calibration"].lo <= 1 <= told["calibration"].hi
        [verdict] = propensity_buy(of_pairs(rng.random(truth.shape)), DAY, known(lines))
        half += figures(verdict)["auc"].lo <= 0.5 <= figures(verdict)["auc"].hi
    assert held >= 20
    assert half >= 10


def test_answers_to_messages_are_those_of_the_next_month_within_a_week() -> None:
    rng = np.random.default_rng(6)
    truth = rng.beta(2, 3, PEOPLE)
    rows = []
    for who in range(PEOPLE):
        # The last ones show that messages are known for long enough.
        for days in (-40, 3, 20, 31, 40):
            sent = dt.datetime.combine(DAY + dt.timedelta(days=days), dt.time(9), dt.UTC)
            # Those of the future beyond the month are all answered, the answers of the others are drawn.
            opens = days == 31 or rng.random() < truth[who]
            at = sent + dt.timedelta(hours=5) if opens else sent + dt.timedelta(days=9)
            rows.append(
                {
                    "message_id": f"M{who}/{days}",
                    "customer_id": f"C{who:04d}",
                    "channel": "email",
                    "campaign_id": "news",
                    "sent_at": sent,
                    "opened_at": at,
                }
            )
    scores = said(
        PropensityRespond,
        {
            "customer_id": [f"C{i:04d}" for i in range(PEOPLE)],
            "campaign_id": "global",
            "outcome": "open",
            "probability": truth,
        },
    )
    verdicts = propensity_respond(scores, DAY, known(OrderLines.empty(), engagement=frame(Engagement, rows)))
    told = {verdict.target: verdict for verdict in verdicts}
    assert told["click"].note == told["buy"].note == "no score: too little to learn from by then"
    opened = figures(told["open"])
    assert opened["auc"].n == 2 * PEOPLE
    assert opened["auc"].lo <= true_area(truth) <= opened["auc"].hi
    assert opened["calibration"].lo <= 1 <= opened["calibration"].hi
    assert opened["auc"].value > opened["auc"].simple


def test_lists_of_what_was_bought_are_perfect() -> None:
    rng = np.random.default_rng(7)
    later = sorted({(who, int(rng.integers(0, 40)), 9) for who in range(80) for _ in range(3)})
    before = [(who, what, -10) for who in range(80) for what in range(who % 5)]
    ranked = pl.DataFrame(later, schema=["who", "what", "days"], orient="row").with_columns(
        rank=pl.int_range(1, pl.len() + 1).over("who")
    )
    scores = said(
        UserRecommendations,
        {
            "customer_id": [f"C{who:04d}" for who in ranked["who"]],
            "item_id": [f"P{what}" for what in ranked["what"]],
            "rank": ranked["rank"],
        },
    )
    # What was bought before the day, or after the horizon of 28 days, is not wanted.
    lines = bought([*before, *later, *((who, 99, 29) for who in range(80))])
    [verdict] = recommendations(scores, DAY, known(lines))
    told = figures(verdict)
    assert told["ndcg_at_10"].value == pytest.approx(1)
    assert told["recall_at_10"].value == pytest.approx(1)
    assert told["ndcg_at_10"].simple < 0.5
    assert verdict.until == DAY + dt.timedelta(days=28)


def test_a_forecast_of_what_came_is_exact_and_months_that_run_are_left_out() -> None:
    lines = bought([(0, 0, days) for days in range(-60, 92)])
    months = [dt.date(2024, 6, 1), dt.date(2024, 7, 1), dt.date(2024, 8, 1)]
    scores = said(
        ForecastRevenue,
        {
            "series": "shop",
            "month": months,
            "basis": "calendar",
            "is_partial": False,
            "days": [30, 31, 31],
            "value": pl.Series([300, 310, 999], dtype=pl.Decimal(18, 4)),
            "lo80": pl.Series([290, 311, 0], dtype=pl.Decimal(18, 4)),
            "hi80": pl.Series([310, 320, 0], dtype=pl.Decimal(18, 4)),
        },
    )
    [verdict] = forecast_revenue(scores, DAY, known(lines, settled=dt.date(2024, 8, 30)))
    told = figures(verdict)
    assert verdict.until == dt.date(2024, 7, 31)
    assert (told["mape"].value, told["mape"].n) == (0, 2)
    # Ten a day, every day: the level of the last weeks is the truth as well.
    assert told["mape"].simple == pytest.approx(0)
    assert told["interval_coverage"].value == 0.5
    [verdict] = forecast_revenue(scores, DAY, known(lines, settled=dt.date(2024, 6, 29)))
    assert (verdict.until, verdict.figures) == (dt.date(2024, 6, 30), [])


def test_values_are_those_of_the_months_after_the_day() -> None:
    lines = clv_world.order_lines(8, 300)
    day = dt.date(2023, 5, 31)
    until = day + dt.timedelta(days=183)
    window = lines.filter(pl.col("order_date").is_between(day, until, closed="right"))
    people = lines.filter(pl.col("order_date") <= day).select(pl.col("customer_id").unique().sort())
    came = people.join(window.group_by("customer_id").agg(pl.col("amount").sum()), on="customer_id", how="left")
    came = came.with_columns(pl.col("amount").cast(pl.Float64).fill_null(0))
    off = 5.0
    scores = said(
        ClvForecast,
        {
            "customer_id": came["customer_id"],
            "horizon_months": 6,
            "value_basis": "amount",
            "expected_value": came["amount"] + off,
            "expected_value_low": came["amount"],
            "expected_value_high": came["amount"] + 2 * off,
        },
    )
    [verdict] = clv(scores, day, known(lines, lambda day: clv_world.snapshot(lines, day), settled=clv_world.AS_OF))
    told = figures(verdict)
    assert told["mae"].value == pytest.approx(off)
    assert told["mae"].simple > off
    assert told["interval_coverage"].value == 1
    assert told["total_error_pct"].value == pytest.approx(100 * off * came.height / came["amount"].sum())
    [verdict] = clv(scores, day, known(lines, settled=until - dt.timedelta(days=1)))
    assert (verdict.until, verdict.figures) == (until, [])


def test_the_table_says_what_is_not_settled() -> None:
    truth, lines = buyers(np.random.default_rng(9))
    rows = judged(DAY, NOTHING | of_pairs(truth), known(lines, settled=DAY + dt.timedelta(days=29)), END)
    Backtest.require(rows)
    [row] = rows.filter(pl.col("model") == "propensity_buy").to_dicts()
    assert row["value"] is None
    assert row["note"] == "not settled: the outcome is complete on 2024-06-30, the data ends on 2024-06-29"


def test_every_score_has_a_row_that_says_why_it_was_not_judged() -> None:
    # Nobody bought anything in time, so that there is no order of those who did and those who did not.
    lines = bought([(who, who % GOODS, -20) for who in range(PEOPLE)] + [(0, 0, 40)])
    rows = judged(DAY, NOTHING | of_pairs(np.full((PEOPLE, GOODS), 0.1)), known(lines), END)
    Backtest.require(rows)
    mute = rows.filter(pl.col("value").is_null())
    notes = dict(mute.select("model", "note").unique().rows())
    assert notes == {
        model: "too few of one kind to tell"
        if model == "propensity_buy"
        else "no score: too little to learn from by then"
        for model in SCORES
    }
    assert all(metric == SCORES[model][2] for model, metric in mute.select("model", "metric").rows())
    assert "propensity_buy, all: too few of one kind to tell" in told(rows)
    assert rows.filter(pl.col("model") == "propensity_buy", pl.col("metric") == "brier")["value"].is_not_null().all()


def test_a_forecast_of_customers_who_are_gone_is_told_without_figures() -> None:
    lines = clv_world.order_lines(8, 50)
    day = dt.date(2023, 5, 31)
    value = dict.fromkeys(("expected_value", "expected_value_low", "expected_value_high"), 1.0)
    scores = said(ClvForecast, {"customer_id": ["gone"], "horizon_months": 6, "value_basis": "amount", **value})
    tonight = known(lines, lambda day: clv_world.snapshot(lines, day), settled=clv_world.AS_OF)
    rows = judged(day, NOTHING | scores, tonight, END)
    Backtest.require(rows)
    assert "clv, 6 months: nothing to judge: no such customer, message or purchase in the time after" in told(rows)


def test_answers_are_settled_where_both_orders_and_messages_are_there() -> None:
    last = DAY + dt.timedelta(days=36)
    sent = [dt.datetime.combine(day, dt.time(9), dt.UTC) for day in (DAY + dt.timedelta(days=3), last)]
    rows = [
        {"message_id": f"M{i}", "customer_id": "C0001", "channel": "email", "campaign_id": "news", "sent_at": at}
        for i, at in enumerate(sent)
    ]
    scores = said(
        PropensityRespond,
        {"customer_id": ["C0001"], "campaign_id": "global", "outcome": "respond", "probability": 0.5},
    )
    lines = bought([(1, 0, days) for days in range(200)])
    [verdict, *_] = propensity_respond(scores, DAY, known(lines, engagement=frame(Engagement, rows)))
    assert (
        verdict.note
        == f"not settled: the outcome is complete on {DAY + dt.timedelta(days=37)}, the data ends on {last}"
    )
    [verdict, *_] = propensity_respond(scores, DAY, known(lines, engagement=frame(Engagement, rows), settled=DAY))
    assert verdict.note.endswith(f"the data ends on {DAY}")


def test_the_hash_is_of_what_was_said_whatever_the_order_of_the_rows() -> None:
    rows = of_pairs(np.random.default_rng(10).random((PEOPLE, GOODS)))[PropensityBuy.table]
    first = hash_of(rows, PropensityBuy, "probability")
    assert hash_of(rows.reverse(), PropensityBuy, "probability") == first
    moved = rows.with_columns(pl.col("probability") + 1e-9)
    assert hash_of(moved, PropensityBuy, "probability") != first


def test_months_that_have_ended() -> None:
    assert origins("2024-01", "2024-03", END) == [dt.date(2024, 1, 31), dt.date(2024, 2, 29), dt.date(2024, 3, 31)]
    year = origins("", "", END)
    assert (len(year), year[0], year[-1]) == (12, dt.date(2023, 12, 31), dt.date(2024, 11, 30))
    assert origins("2024-11", "2025-02", END) == [dt.date(2024, 11, 30)]
    with pytest.raises(SettingsError, match="no month of these has ended"):
        origins("2025-01", "2025-02", END)
    with pytest.raises(SettingsError, match="expected a month such as"):
        origins("January", "", END)
