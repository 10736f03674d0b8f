"""What goes out tonight, to how many, when, with which offer, and what is it expected to earn? Who hears nothing, and why?

The expected value is the sum of the decisions' own expected values, which rest on the configured response rates: a prior,
no measurement.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.reports.facts import Fact, Facts, Row, part

SEND, HOLD, HOLDOUT = "send", "hold", "holdout"


def tonight(decisions: pl.LazyFrame, messages: pl.LazyFrame, batches: pl.LazyFrame) -> Facts:
    """Counts of tonight's decisions by what was decided.

    decisions, messages, batches: the dispatch tables. Facts `tonight.decided|sends|holds|holdout|messages|batches`,
    `tonight.value|responses|busiest|busiest_hour`, `send.<programme>.<channel>.messages|first|last|value|discount`,
    `hold.<reason>` and `.share`; tables `sends` (programme, channel ...), `offers`, `send_hours` (hour, programme, channel,
    messages), `holds` (reason, customers, share).
    """
    sent = decisions.filter(pl.col("action") == SEND).with_columns(local=pl.col("send_at_local"))
    sends = _rows(
        sent.group_by("programme", "channel").agg(
            pl.len().cast(pl.Int64).alias("messages"),
            pl.col("local").dt.time().min().alias("first"),
            pl.col("local").dt.time().max().alias("last"),
            (pl.col("discount_pct").fill_null(0).max() / 100).alias("discount"),
            _exact("expected_value").sum().alias("value"),
            _exact("score_propensity").sum().alias("responses"),
        ),
        "programme",
        "channel",
    )
    offers = _rows(
        sent.group_by("programme", "channel", "offer_id", "discount_pct").agg(
            pl.len().cast(pl.Int64).alias("messages"),
            pl.col("local").dt.time().min().alias("first"),
            pl.col("local").dt.time().max().alias("last"),
            _exact("expected_value").sum().alias("value"),
        ),
        "programme",
        "channel",
        "offer_id",
        "discount_pct",
    )
    hours = _rows(
        sent.group_by(pl.col("local").dt.hour().cast(pl.Int64).alias("hour"), "programme", "channel").agg(
            pl.len().cast(pl.Int64).alias("messages")
        ),
        "hour",
        "programme",
        "channel",
    )
    held = _rows(
        decisions.filter(pl.col("action") == HOLD).group_by("reason").agg(pl.len().cast(pl.Int64).alias("customers")),
        "reason",
    )
    held.sort(key=lambda row: (-row["customers"], row["reason"]))
    n_sends, n_holds = sum(row["messages"] for row in sends), sum(row["customers"] for row in held)
    held = [{**row, "share": part(row["customers"], n_holds)} for row in held]
    per_hour = {hour: sum(row["messages"] for row in hours if row["hour"] == hour) for hour in range(24)}
    busiest = max(per_hour, key=lambda hour: per_hour[hour])
    facts = [
        Fact("tonight.decided", n_sends + n_holds, "customers"),
        Fact("tonight.sends", n_sends, "messages"),
        Fact("tonight.holds", n_holds, "customers"),
        Fact(
            "tonight.holdout",
            sum(n for row in held if row["reason"] == HOLDOUT and isinstance(n := row["customers"], int)),
            "customers",
        ),
        Fact("tonight.value", sum((row["value"] for row in sends), start=0), "currency", n_sends),
        Fact("tonight.responses", sum((row["responses"] for row in sends), start=0), "expected", n_sends),
        Fact("tonight.busiest_hour", dt.time(busiest) if n_sends else None, "time", n_sends),
        Fact("tonight.busiest", per_hour[busiest], "messages", n_sends),
        Fact("tonight.messages", _count(messages), "messages"),
        Fact("tonight.batches", _count(batches), "batches"),
    ]
    for row in sends:
        prefix = f"send.{row['programme']}.{row['channel']}"
        units = {"messages": "messages", "first": "time", "last": "time", "discount": "share", "value": "currency"}
        facts += [Fact(f"{prefix}.{column}", row[column], unit, row["messages"]) for column, unit in units.items()]
    for row in held:
        prefix = f"hold.{row['reason']}"
        facts += [
            Fact(prefix, row["customers"], "customers", n_holds),
            Fact(f"{prefix}.share", row["share"], "share", n_holds),
        ]
    return Facts(facts, {"sends": sends, "offers": offers, "send_hours": hours, "holds": held})


def _rows(frame: pl.LazyFrame, *by: str) -> list[Row]:
    return frame.sort(by).collect(engine="streaming").to_dicts()


def _count(frame: pl.LazyFrame) -> int:
    return frame.select(pl.len()).collect(engine="streaming").item()


def _exact(column: str) -> pl.Expr:
    # Exact sums: a parallel sum of floats differs in its last digit from run to run.
    return pl.col(column).cast(pl.Decimal(18, 4)).fill_null(0)
