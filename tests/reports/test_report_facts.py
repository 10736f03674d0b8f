"""The facts against a slow, plain re-computation from the rows of the tables."""

import datetime as dt
import math
from collections import Counter, defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_frames import AS_OF, SHOP, lines, tables

from lifecycle_assets.reports.customers import NOT_YET, STAGES
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.lifecycle import Tables, lifecycle_facts
from lifecycle_assets.reports.sales import sales

Rows = list[dict[str, Any]]


def plain(tables: Tables) -> dict[str, Rows]:
    return {name: frame.collect().to_dicts() for name, frame in vars(tables).items()}


def share(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole and whole > 0 else None


def naive(data: dict[str, Rows]) -> dict[str, Any]:  # noqa: PLR0912
    """Every number of the report but the intervals and the settings, row by row."""
    found: dict[str, Any] = {}
    completed = [r for r in data["order_lines"] if r["status"] == "completed" and r["order_date"] <= AS_OF]
    purchases = [r for r in data["orders"] if r["is_purchase"]]
    dates = [r["order_date"] for r in completed]
    found |= {"as_of": AS_OF, "data.first": min(dates), "data.last": max(dates), "data.age": (AS_OF - max(dates)).days}

    def window(days: int, shift: int) -> dict[str, Any]:
        last = AS_OF - dt.timedelta(days=shift)
        inside = [last - dt.timedelta(days=back) for back in range(days)]
        revenue = sum((r["amount"] for r in completed if r["customer_id"] and r["order_date"] in inside), Decimal(0))
        orders = [r for r in purchases if r["order_date"] in inside]
        buyers = len({r["customer_id"] for r in orders})
        return {
            "revenue": revenue,
            "orders": len(orders),
            "buyers": buyers,
            "ticket": revenue / len(orders) if orders else None,
            "frequency": len(orders) / buyers if buyers else None,
            "reached": min(dates) <= inside[-1],
        }

    for days in (30, 90):
        now = window(days, 0)
        for name in ("revenue", "orders", "buyers", "ticket", "frequency"):
            found[f"sales.{days}d.{name}"] = now[name]
        for other, shift in (("before", days), ("year", 364)):
            then = window(days, shift)
            if then["reached"]:
                for name in ("revenue", "orders", "buyers", "ticket", "frequency"):
                    found[f"sales.{days}d.{name}/{other}"] = then[name]
                    if then[name]:
                        found[f"sales.{days}d.{name}/{other}/change"] = float(now[name]) / float(then[name]) - 1
        since = AS_OF - dt.timedelta(days=days - 1)
        guests = [r for r in completed if r["customer_id"] is None and r["order_date"] >= since]
        found[f"sales.{days}d.guest_revenue"] = sum((r["amount"] for r in guests), Decimal(0))
        found[f"sales.{days}d.guest_orders"] = len({r["order_id"] for r in guests if r["quantity"] > 0})
    now, then = window(30, 0), window(30, 30)
    mean = float(now["revenue"] - then["revenue"]) / math.log(now["revenue"] / then["revenue"])
    for name in ("buyers", "frequency", "ticket"):
        found[f"why.{name}"] = mean * math.log(float(now[name]) / float(then[name]))

    weeks: dict[dt.date, Decimal] = {}
    for back in range(52):
        end = AS_OF - dt.timedelta(days=7 * back)
        weeks[end] = sum(
            (r["amount"] for r in completed if r["customer_id"] and 0 <= (end - r["order_date"]).days < 7), Decimal(0)
        )
    found |= {"weekly.latest": weeks[AS_OF], "weekly.latest.week": AS_OF}
    for name, pick in (("highest", max), ("lowest", min)):
        found[f"weekly.{name}"] = pick(weeks.values())
        found[f"weekly.{name}.week"] = min(week for week in weeks if weeks[week] == found[f"weekly.{name}"])

    then_day = AS_OF - dt.timedelta(days=30)
    earlier = {r["customer_id"]: r["stage"] for r in data["timeline"] if r["since"] <= then_day <= r["until"]}
    latest = {r["customer_id"]: r["stage"] for r in data["lifecycle_stage"]}
    pairs = Counter((earlier.get(customer, NOT_YET), stage) for customer, stage in latest.items())
    good, bad = {"new", "active", "won_back"}, {"at_risk", "lapsed"}

    def moved(test: Any) -> int:
        return sum(count for (a, b), count in pairs.items() if test(a, b))

    found["customers"], found["customers/before"] = len(latest), len(earlier)
    found["stage.healthy"] = sum(stage in good for stage in latest.values())
    found["stage.healthy.share"] = share(found["stage.healthy"], len(latest))
    for stage in STAGES:
        found[f"stage.{stage}"] = list(latest.values()).count(stage)
        found[f"stage.{stage}.share"] = share(found[f"stage.{stage}"], len(latest))
        found[f"stage.{stage}/before"] = list(earlier.values()).count(stage)
    found["moves.slipped"] = moved(lambda a, b: a in good and b in bad)
    found["moves.returned"] = moved(lambda a, b: a in bad and b in good)
    found["moves.lapsed"] = moved(lambda a, b: a not in {"lapsed", NOT_YET} and b == "lapsed")
    found["moves.joined"] = moved(lambda a, b: a == NOT_YET)
    found["moves.net"] = found["moves.returned"] - found["moves.slipped"]

    spent = {r["customer_id"]: r["purchase_total"] for r in data["customer_features"]}
    everything = sum(spent.values())
    cells: dict[tuple[int, int], list[str]] = defaultdict(list)
    groups: dict[str, list[str]] = defaultdict(list)
    for r in data["customer_rfm"]:
        cells[r["recency_score"], r["frequency_score"]].append(r["customer_id"])
        groups[f"tier.{r['rfm_tier']}"].append(r["customer_id"])
    for r in data["customer_loyalty"]:
        groups[f"segment.{r['segment']}"].append(r["customer_id"])
        if r["segment"] in {"Platinum", "Gold"}:
            groups["segment.top_two"].append(r["customer_id"])
    for name, members in [*groups.items(), ("best_cell", cells[5, 5])]:
        revenue = sum(spent[customer] for customer in members)
        found[name], found[f"{name}.share"] = len(members), share(len(members), len(latest))
        found[f"{name}.revenue_share"] = share(revenue, everything)
        if name not in {"best_cell", "segment.top_two"}:
            found[f"{name}.revenue"] = revenue
    fullest = max(sorted(cells), key=lambda cell: len(cells[cell]))
    found |= {"fullest_cell": len(cells[fullest]), "rfm.bins": 5}
    found |= {"fullest_cell.recency": fullest[0], "fullest_cell.frequency": fullest[1]}

    year = [r for r in data["clv_forecast"] if r["horizon_months"] == 12]
    total = sum(r["expected_value"] for r in year)
    found |= {"value.total": total, "value.months": 12}
    for tier in {r["clv_tier"] for r in year}:
        worth = [r["expected_value"] for r in year if r["clv_tier"] == tier]
        found |= {f"value.{tier}.share": len(worth) / len(year), f"value.{tier}.value_share": sum(worth) / total}
    won = next(r for r in data["clv_evaluation"] if r["chosen"])
    rival = next(r for r in data["clv_evaluation"] if r["candidate"] == "past_rate")
    found |= {"value.race.months": won["months"], "value.race.mae": won["mae"], "value.race.baseline": rival["mae"]}
    found |= {"value.race.error": won["total_error_pct"] / 100, "value.race.coverage": won["interval_coverage"]}

    mean = float(everything) / len(spent)
    found |= {"personas": len(data["segment_profiles"]), "persona.silhouette": 0.62, "persona.stability": 0.4}
    for number, rich in ((1, False), (2, True)):
        worth = [float(total) for total in spent.values() if (float(total) > mean) is rich]
        found |= {f"persona.{number}.share": len(worth) / len(spent)}
        found |= {f"persona.{number}.revenue_share": sum(worth) / float(everything)}

    exported = [r for r in data["ledger"] if r["as_of"] == AS_OF and r["event"] == "exported"]
    later = max((r["as_of"] for r in data["ledger"] if r["as_of"] > AS_OF and r["event"] == "exported"), default=None)
    out = {r["customer_id"] for r in exported}
    refused = {
        r["customer_id"]: r["detail"].removesuffix(" at export")
        for r in data["ledger"]
        if r["as_of"] == AS_OF and r["event"] == "cancelled" and r["detail"].endswith(" at export")
    }
    planned = [r for r in data["decisions"] if r["action"] == "send"]
    sends = [r for r in planned if r["customer_id"] in out]
    holds = [r for r in data["decisions"] if r["action"] == "hold"]
    for r in planned:
        if r["customer_id"] not in out:
            reason = refused.get(r["customer_id"], "superseded" if later else "unreleased")
            holds.append({**r, "reason": reason})
    found |= {"tonight.decided": len(data["decisions"]), "tonight.sends": len(sends), "tonight.holds": len(holds)}
    found |= {"tonight.planned": len(planned), "tonight.batches": len({r["batch_id"] for r in exported})}
    withheld = Counter(refused[r["customer_id"]] for r in planned if r["customer_id"] in refused.keys() - out)
    found["tonight.withheld"] = withheld.total()
    found |= {f"withheld.{reason}": count for reason, count in withheld.items()}
    found["tonight.superseded"] = sum(r["reason"] == "superseded" for r in holds)
    found["tonight.later"] = later if found["tonight.superseded"] else None
    found["tonight.holdout"] = sum(r["reason"] == "holdout" for r in holds)
    found["tonight.value"] = sum(r["expected_value"] for r in sends)
    found["tonight.responses"] = sum(r["score_propensity"] for r in sends)
    hours = Counter(r["send_at_local"].hour for r in sends)
    busiest = min(hours, key=lambda hour: (-hours[hour], hour))
    found |= {"tonight.busiest_hour": dt.time(busiest), "tonight.busiest": hours[busiest]}
    for name in {(r["programme"], r["channel"]) for r in sends}:
        these = [r for r in sends if (r["programme"], r["channel"]) == name]
        times = [r["send_at_local"].time() for r in these]
        prefix = f"send.{'.'.join(name)}"
        found |= {f"{prefix}.messages": len(these), f"{prefix}.first": min(times), f"{prefix}.last": max(times)}
        found[f"{prefix}.value"] = sum(r["expected_value"] for r in these)
        found[f"{prefix}.discount"] = max(r["discount_pct"] for r in these) / 100
    for reason, count in Counter(r["reason"] for r in holds).items():
        found |= {f"hold.{reason}": count, f"hold.{reason}.share": count / len(holds)}

    reads = data["input_reads"]
    found["rows.read"] = sum(r["rows_read"] for r in reads)
    found["rows.kept"] = sum(r["rows_kept"] for r in reads)
    found["rows.left_out"] = sum(r["rule"] == "left_out" for r in data["quarantine"])
    found["rows.broken"] = sum(r["rule"] != "left_out" for r in data["quarantine"])
    found["rows.tables"] = sum(r["rows_read"] > 0 for r in reads)
    found["rows.broken.share"] = found["rows.broken"] / found["rows.read"]
    found["rows.left_out.share"] = found["rows.left_out"] / found["rows.read"]
    reasons = Counter((r["table"], r["message"]) for r in data["quarantine"])
    found |= {f"reason.{place}": count for place, (_, count) in enumerate(reasons.most_common(), start=1)}
    return found


@pytest.mark.parametrize("trend", [0.6, 0.0, -0.6])
def test_every_fact_is_what_the_rows_say(trend: float) -> None:
    made = tables(lines(customers=150, trend=trend))
    facts = lifecycle_facts(made, AS_OF, SHOP)
    expected = naive(plain(made))
    for path, value in expected.items():
        got = facts.value(path)
        if isinstance(value, float | Decimal) and got is not None:
            assert float(got) == pytest.approx(float(value), abs=6e-5), path
        else:
            assert got == value, path
    constant = ("method.", "period.", "setting.")
    assert {fact for fact in facts.facts if not fact.startswith(constant)} == {p for p in expected if "/" not in p}


def test_what_was_planned_goes_out_is_held_back_or_was_superseded() -> None:
    made = tables(lines(customers=150))
    facts = lifecycle_facts(made, AS_OF, SHOP)
    assert facts.value("tonight.sends") > 0
    assert facts.value("withheld.suppressed") > 0 and facts.value("withheld.expired") > 0
    assert facts.value("tonight.planned") == facts.value("tonight.sends") + facts.value("tonight.withheld")
    assert facts.value("tonight.decided") == facts.value("tonight.sends") + facts.value("tonight.holds")
    assert facts.value("tonight.later") is None

    lines_of_night = pl.col("as_of") == AS_OF
    tomorrow = made.ledger.filter(lines_of_night, event="exported").with_columns(pl.col("as_of").dt.offset_by("1d"))
    repeated = replace(made, ledger=pl.concat([made.ledger, tomorrow]))
    assert lifecycle_facts(repeated, AS_OF, SHOP).to_json() == facts.to_json()

    never = replace(made, ledger=pl.concat([made.ledger.filter(~lines_of_night), tomorrow]))
    late = lifecycle_facts(never, AS_OF, SHOP)
    assert late.value("tonight.sends") == late.value("tonight.withheld") == late.value("tonight.batches") == 0
    assert late.value("tonight.superseded") == late.value("hold.superseded") == late.value("tonight.planned") > 0
    assert late.value("tonight.later") == AS_OF + dt.timedelta(days=1)

    unborn = lifecycle_facts(replace(made, ledger=made.ledger.filter(~lines_of_night)), AS_OF, SHOP)
    assert unborn.value("hold.unreleased") == unborn.value("tonight.planned")
    assert unborn.value("tonight.superseded") == 0


def test_the_reasons_for_a_change_add_up_to_it() -> None:
    facts = lifecycle_facts(tables(lines(customers=100, trend=0.5)), AS_OF, SHOP)
    parts = sum(facts.value(f"why.{driver}") for driver in ("buyers", "frequency", "ticket"))
    assert float(parts) == pytest.approx(float(facts.value("sales.30d.revenue/before/difference")), abs=2e-4)


def test_the_interval_is_that_of_a_bootstrap_over_customers() -> None:
    made = tables(lines(customers=300, guests=0))
    facts = lifecycle_facts(made, AS_OF, SHOP)
    data = plain(made)
    numbers = {c: n for n, c in enumerate(sorted({r["customer_id"] for r in data["orders"]}))}
    spent, orders = np.zeros((2, len(numbers))), np.zeros((2, len(numbers)))
    for row in data["order_lines"]:
        back = (AS_OF - row["order_date"]).days // 30
        if row["status"] == "completed" and row["customer_id"] in numbers and back < 2:
            spent[back, numbers[row["customer_id"]]] += float(row["amount"])
    for row in data["orders"]:
        back = (AS_OF - row["order_date"]).days // 30
        if row["is_purchase"] and back < 2:
            orders[back, numbers[row["customer_id"]]] += 1
    weights = np.random.default_rng(7).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), 4000).T
    revenue, count = spent @ weights, orders @ weights
    ticket = revenue / count
    for name, drawn in (("revenue", revenue), ("orders", count), ("ticket", ticket)):
        lo, hi = np.quantile(drawn[0] / drawn[1] - 1, [0.025, 0.975])
        width = hi - lo
        assert facts.value(f"sales.30d.{name}/before/lo") == pytest.approx(lo, abs=0.08 * width)
        assert facts.value(f"sales.30d.{name}/before/hi") == pytest.approx(hi, abs=0.08 * width)


def test_without_a_trend_one_is_called_about_one_time_in_twenty() -> None:
    rng = np.random.default_rng(3)
    called = 0
    worlds = 200
    for _ in range(worlds):
        rate = rng.gamma(1.0, 1.0, 120)
        amounts = rng.gamma(2.0, 10.0, (2, 120)) * rng.poisson(rate, (2, 120))
        rows = [
            (
                AS_OF - dt.timedelta(days=30 * back + 3),
                f"c{c}",
                f"o{back}-{c}",
                Decimal(str(round(float(amounts[back, c]), 2))),
            )
            for back in (0, 1)
            for c in range(120)
            if amounts[back, c] > 0
        ]
        rows.append((AS_OF - dt.timedelta(days=59), "c0", "first", Decimal("0.01")))
        facts = _sales(rows)
        called += facts.verdict("sales.30d.revenue") in {"rising", "falling"}
    # Binomial(200, .05): 19 or more has a chance of about one in a thousand.
    assert called <= 18


def _sales(rows: list[tuple[dt.date, str, str, Decimal]]) -> Facts:
    schema = {"order_date": pl.Date, "customer_id": pl.String, "order_id": pl.String, "amount": pl.Decimal(18, 4)}
    frame = pl.DataFrame(rows, schema, orient="row").lazy()
    order_lines = frame.with_columns(status=pl.lit("completed"), quantity=pl.lit(1.0))
    return sales(order_lines, frame.with_columns(is_purchase=pl.col("amount") > 0), AS_OF)


day = st.integers(-5, 500).map(lambda back: AS_OF - dt.timedelta(days=back))
cents = st.integers(-5000, 9000).map(lambda value: Decimal(value) / 100)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(day, st.sampled_from(["a", "b", "c"]), cents), max_size=25))
def test_nothing_after_as_of_counts_and_money_is_exact(drawn: list[tuple[dt.date, str, Decimal]]) -> None:
    rows = [(d, c, f"o{n}", a) for n, (d, c, a) in enumerate(drawn)]
    past = [row for row in rows if row[0] <= AS_OF]
    facts = _sales(rows)
    assert facts.to_json() == _sales(past).to_json()
    month = AS_OF - dt.timedelta(days=29)
    assert facts.value("sales.30d.revenue") == sum((a for d, _, _, a in past if d >= month), Decimal(0))
    assert facts.verdict("sales.30d.revenue") in {"few", "none"}


def test_a_comparison_needs_data_for_the_whole_earlier_period() -> None:
    first = AS_OF - dt.timedelta(days=59)
    assert _sales([(first, "a", "1", Decimal(5))]).verdict("sales.30d.revenue") == "few"
    assert _sales([(first + dt.timedelta(days=1), "a", "1", Decimal(5))]).verdict("sales.30d.revenue") == "none"


def test_an_observation_window_leaves_the_trends_alone() -> None:
    made = tables(lines(customers=60))
    short = SHOP.model_copy(update={"customer": SHOP.customer.model_copy(update={"window_months": 1})})
    facts, windowed = lifecycle_facts(made, AS_OF, SHOP), lifecycle_facts(made, AS_OF, short)
    assert windowed.value("data.first") == facts.value("data.first")
    for figure in ("sales.30d.revenue", "sales.90d.revenue", "sales.90d.orders"):
        assert windowed.value(figure) == facts.value(figure)
        assert windowed.verdict(figure) == facts.verdict(figure) != "none"
