"""What goes out tonight, to how many, when, with which offer, and what is it expected to earn? Who hears nothing, and why?

What goes out is what the ledger calls exported: a message that was planned may have been held back at the last check, or
not be released at all. Its customer hears nothing then, for that reason. The expected value is the sum of the decisions'
own expected values, which rest on the configured response rates: a prior, no measurement.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.ledger import Ledger, fates, later_night, undone
from lifecycle_assets.reports.facts import Fact, Facts, Row, part
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

SEND, HOLDOUT = "send", "holdout"
SUPERSEDED, UNRELEASED = "superseded", "unreleased"
LARGEST = 3  # programmes on the first screen


READS = (Decisions, Ledger)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    return tonight(tables[Decisions], tables[Ledger], as_of)


def tonight(decisions: pl.LazyFrame, ledger: pl.LazyFrame, as_of: dt.date) -> Facts:
    """Counts of tonight's decisions by what became of them.

    decisions: dispatch.decisions; ledger: dispatch.ledger of all nights. Facts
    `tonight.decided|planned|sends|batches|withheld|superseded|holds|holdout|value|responses|busiest|busiest_hour` and
    `tonight.later` (the later night for which messages were not released, else null), `tonight.rest` (messages beside the
    largest programmes); `send.<programme>.<channel>.messages|first|last|value|discount`; `withheld.<reason>`;
    `hold.<reason>` and `.share`. Tables `sends` (programme, channel ..., the largest first), `largest` of them, `offers`,
    `send_hours` (hour, programme, channel, messages), `withheld` (reason, messages: planned, but held back at the last
    check), `holds` (reason, customers, share: all who hear nothing, the withheld ones included).
    """
    later = later_night(ledger.filter(pl.col("event") == "exported"), as_of)
    planned = pl.col("action") == SEND
    decided = decisions.join(fates(ledger, as_of), on="customer_id", how="left").with_columns(
        goes_out=planned & pl.col("exported").fill_null(value=False),
        silence=pl.when(planned)
        .then(pl.col("withheld").fill_null(SUPERSEDED if later else UNRELEASED))
        .otherwise("reason"),
        local=pl.col("send_at_local"),
    )
    sent = decided.filter("goes_out")
    quiet = decided.filter(~pl.col("goes_out"))
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
        quiet.group_by(pl.col("silence").alias("reason")).agg(pl.len().cast(pl.Int64).alias("customers")), "reason"
    )
    withheld = _rows(
        quiet.filter(planned & pl.col("withheld").is_not_null())
        .group_by(pl.col("withheld").alias("reason"))
        .agg(pl.len().cast(pl.Int64).alias("messages")),
        "reason",
    )
    superseded = sum(row["customers"] for row in held if row["reason"] == SUPERSEDED)
    held.sort(key=lambda row: (-row["customers"], row["reason"]))
    for rows in (sends, offers):
        rows.sort(key=lambda row: -row["messages"])
    largest = sends[:LARGEST]
    n_sends, n_holds = sum(row["messages"] for row in sends), sum(row["customers"] for row in held)
    held = [{**row, "share": part(row["customers"], n_holds)} for row in held]
    per_hour = {hour: sum(row["messages"] for row in hours if row["hour"] == hour) for hour in range(24)}
    busiest = max(per_hour, key=lambda hour: per_hour[hour])
    facts = [
        Fact("tonight.decided", n_sends + n_holds, "customers"),
        Fact("tonight.planned", _count(decided.filter(planned)), "messages"),
        Fact("tonight.sends", n_sends, "messages"),
        Fact("tonight.rest", n_sends - sum(row["messages"] for row in largest), "messages"),
        Fact("tonight.batches", _batches(ledger, as_of), "batches"),
        Fact("tonight.withheld", sum(row["messages"] for row in withheld), "messages"),
        Fact("tonight.superseded", superseded, "messages"),
        Fact("tonight.later", later if superseded else None, "date"),
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
        *(Fact(f"withheld.{row['reason']}", row["messages"], "messages") for row in withheld),
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
    tables = {"sends": sends, "largest": largest, "offers": offers, "send_hours": hours, "withheld": withheld}
    return Facts(facts, tables | {"holds": held})


def _rows(frame: pl.LazyFrame, *by: str) -> list[Row]:
    return frame.sort(by).collect(engine="streaming").to_dicts()


def _count(frame: pl.LazyFrame) -> int:
    return frame.select(pl.len()).collect(engine="streaming").item()


def _batches(ledger: pl.LazyFrame, as_of: dt.date) -> int:
    out = ledger.filter((pl.col("as_of") == as_of) & (pl.col("event") == "exported"))
    out = out.join(undone(ledger), on="idempotency_key", how="anti")
    return out.select(pl.col("batch_id").n_unique()).collect(engine="streaming").item()


def _exact(column: str) -> pl.Expr:
    # Exact sums: a parallel sum of floats differs in its last digit from run to run.
    return pl.col(column).cast(pl.Decimal(18, 4)).fill_null(0)
