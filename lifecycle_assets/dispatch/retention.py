"""Which lines of the ledger may go, and what stays of them?

Lines go with their night, `retention.ledger_days` after it, but not before no other table reads them: the caps and the open
discounts look back so far, models.attribution twelve months and a channel's days. Of older nights these stay:

- the latest message of each programme to each customer, for a journey goes on from it, and the latest of each programme on each
  channel, for the next batch names its batch
- the first message of each programme, since when its experiment counts
- what was undone, for it must stay so
- batches that are neither out nor taken back

How many messages carried each offer stays in dispatch.ledger_totals, per batch and without customers; a batch that is there is
counted there alone, so that a run that dies between the two counts nothing twice.
"""

import datetime as dt
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, shop_key, table, text
from lifecycle_assets.dispatch import ledger
from lifecycle_assets.settings import Shop

YEAR = 366
# A message leaves on the day after its night, or after quiet hours on the one after that.
SENT_WITHIN = 2


@table("dispatch.ledger_totals", append_only=True)
class LedgerTotals(dy.Schema):
    """What is left of the nights whose lines in the ledger have gone: how many messages each batch had, by offer."""

    shop_id = shop_key()
    as_of = as_of_column()
    batch_id = key("The batch.")
    offer_id = key("The offer; empty for messages without one.")
    channel = text("How.", nullable=False)
    programme = text("The programme.", nullable=False)
    exported = count("Messages that went out.", "messages")
    compensated = count("Of these, undone afterwards.", "messages")
    cancelled = count("Messages taken back before they went out.", "messages")


@dataclass(frozen=True)
class Parting:
    """The lines that stay, and the totals of the batches that lose lines, where there are none yet."""

    kept: pl.DataFrame
    gone: int
    totals: pl.DataFrame


def kept_since(shop: Shop, as_of: dt.date) -> dt.date:
    """The first night whose lines all stay."""
    contact, routing = shop.routing.contact, shop.routing
    caps = [contact.cap, contact.fatigue, contact.fatigue_unopened]
    caps += [programme.cap for programme in routing.programmes.values() if programme.cap]
    days = [
        shop.retention.ledger_days,
        YEAR + SENT_WITHIN + max(shop.measurement.attribution_days.values(), default=0),
        *(cap.days + 1 for cap in caps),
        *(offer.valid_days + 1 for offer in routing.offers.values()),
    ]
    return as_of - dt.timedelta(days=max(days))


def parting(lines: pl.LazyFrame, totals: pl.LazyFrame, shop: Shop, *, as_of: dt.date) -> Parting:
    """What becomes of the lines (dispatch.ledger) at the end of `as_of`; `totals` are dispatch.ledger_totals so far."""
    old = pl.col("as_of") < kept_since(shop, as_of)
    past = lines.filter(old)
    sent = lines.filter(pl.col("event") == "exported").join(ledger.undone(lines), on="idempotency_key", how="anti")
    in_order = sent.sort("as_of", "step", "idempotency_key")
    still_read = pl.concat(
        [
            in_order.unique(["customer_id", "programme"], keep="last"),
            in_order.unique(["channel", "programme"], keep="last"),
            in_order.unique(["programme"], keep="first"),
        ]
    )
    stays = (
        (pl.col("event") == "compensated")
        | pl.col("is_read").fill_null(value=False)
        | pl.col("is_open").fill_null(value=False)
    )
    of_line = ["idempotency_key", "batch_id", "event"]
    is_open = ledger.unfinished(past).lazy().select("batch_id", is_open=pl.lit(value=True))
    judged = (
        past.join(still_read.select(of_line).unique().with_columns(is_read=True), on=of_line, how="left")
        .join(is_open, on="batch_id", how="left")
        .with_columns(stays=stays)
        .collect()
    )
    going = judged.filter(~pl.col("stays"))
    batches = going.select("batch_id").unique().lazy().join(totals, on="batch_id", how="anti")
    columns = lines.collect_schema().names()
    kept = pl.concat([lines.filter(~old).collect(), judged.filter("stays").select(columns)])
    return Parting(kept, going.height, _totals(past.join(batches, on="batch_id", how="semi")))


def _totals(lines: pl.LazyFrame) -> pl.DataFrame:
    """Rows of `LedgerTotals` of the batches in `lines`, sorted by key."""

    def messages(event: str) -> pl.Expr:
        return pl.col("idempotency_key").filter(pl.col("event") == event).n_unique().cast(pl.Int64).alias(event)

    return (
        lines.with_columns(pl.col("offer_id").fill_null(""))
        .group_by("shop_id", "as_of", "batch_id", "offer_id", "channel", "programme")
        .agg(messages("exported"), messages("compensated"), messages("cancelled"))
        .select(LedgerTotals.polars_schema.names())
        .sort(LedgerTotals.primary_key)
        .collect()
    )
