"""Made-up shops for the report's tests: order lines with a known trend, and tables derived from them by simple rules."""

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.features.stage import stage_timeline
from lifecycle_assets.inputs.contracts import InputReads, Quarantine
from lifecycle_assets.reports.lifecycle import READS
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

AS_OF = dt.date(2024, 6, 30)
MONEY = pl.Decimal(18, 4)
LINES = {
    "order_date": pl.Date,
    "customer_id": pl.String,
    "order_id": pl.String,
    "quantity": pl.Float64,
    "amount": MONEY,
    "status": pl.String,
}
DECISIONS = {
    "customer_id": pl.String,
    "action": pl.String,
    "reason": pl.String,
    "programme": pl.String,
    "channel": pl.String,
    "offer_id": pl.String,
    "send_at_local": pl.Datetime("us"),
    "discount_pct": pl.Float64,
    "expected_value": MONEY,
    "score_propensity": pl.Float64,
}
SHOP = Shop(name="Corner & Sons <grocers>", timezone="Europe/London", currency="GBP", country="GB", input="orders")


def lines(
    customers: int = 400, days: int = 500, trend: float = 0.0, guests: int = 40, seed: int = 1, as_of: dt.date = AS_OF
) -> pl.DataFrame:
    """Order lines over `days` days up to as_of; in the last 30 days there are `trend` (relative) more orders."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(customers):
        rate = rng.gamma(1.5, 1 / 40)
        for ago in range(days):
            if rng.random() < rate * (1 + trend if ago < 30 else 1) * (1 if ago < days - 5 * (number % 60) else 0):
                day = as_of - dt.timedelta(days=ago)
                order = f"o{number}-{ago}"
                for part in range(int(rng.integers(1, 4))):
                    amount = Decimal(int(rng.integers(100, 4000))) / 100
                    status = "cancelled" if rng.random() < 0.02 else "completed"
                    rows.append((day, f"c{number:04}", order, float(part + 1), amount, status))
                if rng.random() < 0.05:
                    back = min(as_of, day + dt.timedelta(days=3))
                    rows.append((back, f"c{number:04}", f"r{number}-{ago}", -1.0, Decimal("-7.50"), "completed"))
    for number in range(guests):
        day = as_of - dt.timedelta(days=int(rng.integers(0, days)))
        rows.append((day, None, f"g{number}", 1.0, Decimal("19.99"), "completed"))
    return pl.DataFrame(rows, LINES, orient="row")


def tables(order_lines: pl.DataFrame, as_of: dt.date = AS_OF, sends: bool = True, **others: pl.LazyFrame) -> Tables:
    """All tables of the report: derived from the lines, or as given in `others`, or empty."""
    return Tables(frames(order_lines, as_of, sends) | others)


def frames(order_lines: pl.DataFrame, as_of: dt.date = AS_OF, sends: bool = True) -> dict[str, pl.LazyFrame]:
    """The tables by their short names."""
    known = order_lines.filter(pl.col("status") == "completed", pl.col("customer_id").is_not_null())
    orders = (
        known.group_by("customer_id", "order_id")
        .agg(pl.col("order_date").min(), pl.col("amount").sum())
        .with_columns(is_purchase=pl.col("amount") > 0)
        .sort("customer_id", "order_date", "order_id")
    )
    bought = orders.filter("is_purchase")
    features = (
        bought.group_by("customer_id")
        .agg(pl.col("order_date").max().alias("last"), pl.len().alias("frequency"))
        .join(known.group_by("customer_id").agg(pl.col("amount").sum().alias("purchase_total")), on="customer_id")
        .sort("customer_id")
    )
    rank = pl.col("frequency").rank("ordinal"), pl.col("last").rank("ordinal"), pl.col("purchase_total").rank("ordinal")
    frequency, recency, monetary = (((r - 1) * 5 // pl.len()).cast(pl.Int64) + 1 for r in rank)
    rfm = features.with_columns(
        frequency_score=frequency, recency_score=recency, monetary_score=monetary, monetary_total="purchase_total"
    ).with_columns(total=pl.col("frequency_score") + pl.col("recency_score") + pl.col("monetary_score"))
    rfm = rfm.with_columns(
        rfm_tier=pl.when(pl.col("total") >= 13)
        .then(pl.lit("Champion"))
        .when(pl.col("total") >= 10)
        .then(pl.lit("Loyal"))
        .when(pl.col("total") >= 7)
        .then(pl.lit("Potential"))
        .when(pl.col("total") >= 5)
        .then(pl.lit("Promising"))
        .otherwise(pl.lit("At-Risk"))
    )
    loyalty = rfm.select(
        "customer_id",
        pl.col("frequency_score")
        .replace_strict({1: "At-Risk", 2: "Bronze", 3: "Silver", 4: "Gold", 5: "Platinum"}, return_dtype=pl.String)
        .alias("segment"),
    )
    stage = (
        stage_timeline(orders.lazy(), as_of, SHOP.customer.stage)
        .filter(pl.col("until") == as_of)
        .select("customer_id", "stage")
    )
    decisions = _decisions(stage, as_of) if sends else _held(stage)
    reads, quarantine = _quality(order_lines, as_of)
    made = {
        "order_lines": order_lines,
        "input_reads": reads,
        "quarantine": quarantine,
        "orders": orders,
        "customer_features": features.select("customer_id", "purchase_total"),
        "customer_loyalty": loyalty,
        "customer_rfm": rfm,
        "lifecycle_stage": stage,
        "decisions": decisions,
        "ledger": ledger(decisions, as_of),
    }
    return {contract.table: _whole(contract, made.get(contract.table, contract.empty())) for contract in READS}


def _whole(contract: Contract, frame: pl.DataFrame) -> pl.LazyFrame:
    """With the contract's other columns, null."""
    missing = {name: dtype for name, dtype in contract.polars_schema.items() if name not in frame.columns}
    return frame.lazy().with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in missing.items())


def _decisions(stage: pl.DataFrame, as_of: dt.date) -> pl.DataFrame:
    rows: list[tuple[object, ...]] = []
    for place, (customer, name) in enumerate(stage.sort("customer_id").rows()):
        nine = dt.datetime.combine(as_of + dt.timedelta(days=1), dt.time(9 + place % 3))
        if name == "lapsed" and place % 7:
            rows.append(
                (customer, "send", None, "winback", "email", "winback_10", nine, 10.0, Decimal(125 + place) / 100, 0.02)
            )
        elif name == "new":
            rows.append((customer, "send", None, "welcome", "email", "welcome_hello", nine, 0.0, Decimal("0.8"), 0.05))
        else:
            reason = "holdout" if name == "lapsed" else "frequency_cap" if place % 5 == 0 else "not_qualified"
            rows.append((customer, "hold", reason, None, None, None, None, None, None, None))
    return pl.DataFrame(rows, DECISIONS, orient="row")


def ledger(decisions: pl.DataFrame, as_of: dt.date) -> pl.DataFrame:
    """The lines of the night's planned messages, some of which were held back at the last check and one of which was
    first taken back and then sent; and the lines of the night before, when they all were sent."""
    rows: list[tuple[object, ...]] = []

    def line(night: dt.date, event: str, place: int, row: dict[str, object], detail: str | None = None) -> None:
        at = dt.datetime.combine(night + dt.timedelta(days=1), dt.time(2, int(event != "cancelled")), dt.UTC)
        batch = f"{night} {row['programme']}"
        how = (row["customer_id"], row["channel"], row["programme"], 1, row["offer_id"], "nightly run", "s@run", detail)
        rows.append(("s", night, f"{night} {place}", batch, event, at, *how))

    for place, row in enumerate(decisions.filter(pl.col("action") == "send").iter_rows(named=True)):
        line(as_of - dt.timedelta(days=1), "exported", place, row)
        reason = {3: "suppressed", 5: "expired", 6: "suppressed"}.get(place % 9)
        if place == 0:
            line(as_of, "cancelled", place, row, "not released: the run ended early")
        if reason:
            line(as_of, "cancelled", place, row, f"{reason} at export")
        else:
            line(as_of, "planned", place, row)
            line(as_of, "exported", place, row)
    return pl.DataFrame(rows, Ledger.polars_schema, orient="row")


def _held(stage: pl.DataFrame) -> pl.DataFrame:
    rows = [(customer, "hold", "no_consent", *[None] * 7) for customer in stage["customer_id"].sort()]
    return pl.DataFrame(rows, DECISIONS, orient="row")


def _quality(order_lines: pl.DataFrame, as_of: dt.date) -> tuple[pl.DataFrame, pl.DataFrame]:
    kept = order_lines.height
    if not kept:
        return InputReads.empty(), Quarantine.empty()
    at = [dt.datetime.combine(order_lines["order_date"].to_list()[end], dt.time(12), dt.UTC) for end in (0, -1)]
    reads = pl.DataFrame(
        [
            ("s", as_of, "order_lines", "orders.csv", kept + 13, kept, 13, 9, min(at), max(at), "f"),
            ("s", as_of, "customers", None, 0, 0, 0, 0, None, None, None),
        ],
        InputReads.polars_schema,
        orient="row",
    )
    left = [("order_lines", n, None, "left_out", "left out: fuel is no grocery") for n in range(9)]
    broken = [("order_lines", n + 9, "unit_price", "min", "unit_price is below 0: <b>-1</b>") for n in range(4)]
    rows = [("s", as_of, *row, "{}", "s@run") for row in left + broken]
    return reads, pl.DataFrame(rows, Quarantine.polars_schema, orient="row")
