"""The evidence and the posteriors over several nights of a shop, from its files on."""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from lifecycle_assets.dispatch.ledger import Ledger, lines_of
from lifecycle_assets.models.channel_posteriors import ChannelPosteriors
from lifecycle_assets.models.message_evidence import MessageEvidence
from resources.warehouse.lake import Lake

ROOT = Path(__file__).parents[2]
CUSTOMERS, DAYS = 60, 30
FIRST = dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC)
JUNE = dt.date(2024, 5, 31)


def shop(home: Path) -> None:
    """Everyone gets a message every third day; every seventh is answered."""
    given = home / "in"
    given.mkdir()
    (home / "shops").mkdir()
    sent = pl.DataFrame({"n": range(CUSTOMERS * DAYS // 3)}).with_columns(
        message_id=pl.format("m{}", "n"),
        customer_id=pl.format("c{}", pl.col("n") % CUSTOMERS),
        channel=pl.lit("email"),
        sent_at=pl.lit(FIRST) + pl.duration(days=pl.col("n") // (CUSTOMERS // 3)),
    )
    clicked = pl.when(pl.col("n") % 7 == 0).then(pl.col("sent_at") + dt.timedelta(minutes=9))
    sent.with_columns(clicked_at=clicked).drop("n").write_parquet(given / "engagement.parquet")
    pl.DataFrame({"n": range(CUSTOMERS)}).select(
        order_id="n",
        customer_id=pl.format("c{}", "n"),
        ordered_at=pl.lit("2024-04-15"),
        product_id=pl.lit("p"),
        quantity=1,
        unit_price=pl.col("n") + 5,
    ).write_csv(given / "order_lines.csv")


def live(home: Path, as_of: dt.date) -> None:
    """The shop's night of that day, as far as the posteriors by channel."""
    (home / "shops" / "books.yaml").write_text(
        f"name: Books\ntimezone: UTC\ncurrency: EUR\ncountry: ES\ninput: {home / 'in'}\nas_of: {as_of}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "lifecycle_assets.cli", "run", "--shop", "books",
         "--select", '+key:"models/channel_posteriors"', "--home", str(home)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_nights_add_up_in_any_order_and_an_undone_batch_is_taken_back(tmp_path: Path) -> None:
    shop(tmp_path)
    lake = Lake(tmp_path / "warehouse", [MessageEvidence, ChannelPosteriors, Ledger])

    settled = CUSTOMERS // 3 * 28
    live(tmp_path, JUNE)
    assert lake.scan(ChannelPosteriors, "books").collect()["n_sent"].sum() == settled
    # A night made afterwards, of days that the first one has told already; a batch is undone, and the first one made again.
    live(tmp_path, JUNE - dt.timedelta(days=4))
    undone = pl.DataFrame(
        {"shop_id": "books", "as_of": dt.date(2024, 5, 3), "idempotency_key": ["m3", "m40"], "batch_id": "b",
         "customer_id": ["c3", "c40"], "channel": "email", "programme": "news", "step": 1, "offer_id": None}
    )  # fmt: skip
    lake.append(Ledger, "books", JUNE, lines_of(undone, "compensated", at=FIRST, run="test"))
    live(tmp_path, JUNE)
    assert lake.nights(MessageEvidence, "books") == [JUNE - dt.timedelta(days=4), JUNE]
    assert lake.scan_night(MessageEvidence, "books", JUNE).select(pl.len()).collect().item() == CUSTOMERS // 3 * 4
    assert lake.scan(ChannelPosteriors, "books").collect()["n_sent"].sum() == settled - 2
