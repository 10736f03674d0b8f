"""Since when are the arms of each experiment drawn as they are, and since when does the ledger hold all messages?

An experiment's effect is that of arms drawn once. Where something that draws them is changed, or which programmes and audiences
leave its holdout out, the experiment begins anew: what was done before was done to other arms. So each night writes down what
draws the arms, and carries on the night since when it has not changed. On a shop's first night nothing is known of the time
before: what is found is taken to have been so.

The ledger's old lines go (see retention). What a table with the ledger's messages counts is counted since `messages_since`,
which never goes back: lines that have gone are not there again when the settings keep more.
"""

import datetime as dt
import json

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, date, key, shop_key, table, text
from lifecycle_assets.dispatch.retention import SENT_WITHIN, kept_since
from lifecycle_assets.settings import Shop

DRAWS = {"holdout_share", "salt", "variants", "layer", "traffic"}


@table("dispatch.experiments", history=True)
class Experiments(dy.Schema):
    """Each configured experiment: what draws its arms and whose holdout they are, and since when."""

    shop_id = shop_key()
    as_of = as_of_column()
    experiment = key("The experiment.")
    drawn_by = text(
        "Settings that draw its arms, and the programmes and audiences that name it, as JSON.", nullable=False
    )
    since = date("First night on which these stood so; null where they did on the shop's first night.", nullable=True)
    messages_since = date("Messages sent on this day or later are all in the ledger; earlier ones may have gone.")


def experiments(shop: Shop, before: pl.LazyFrame | None, *, shop_id: str, as_of: dt.date) -> pl.DataFrame:
    """One row of `Experiments` per configured experiment, sorted by it; `before` is the table of the night before, None on the
    shop's first one."""
    told = Experiments.empty() if before is None else before.collect()
    known = {name: (drawn_by, since) for name, drawn_by, since in told.select("experiment", "drawn_by", "since").rows()}
    kept = kept_since(shop, as_of) + dt.timedelta(days=SENT_WITHIN)
    rows = []
    for name in sorted(shop.measurement.experiments):
        drawn_by = _drawn_by(name, shop)
        was, since = known.get(name, (None, None))
        is_new = before is not None and was != drawn_by
        rows.append({"experiment": name, "drawn_by": drawn_by, "since": as_of if is_new else since})
    frame = pl.DataFrame(rows, schema_overrides={"since": pl.Date}) if rows else Experiments.empty()
    return Experiments.conform(
        frame.with_columns(
            shop_id=pl.lit(shop_id),
            as_of=pl.lit(as_of),
            messages_since=pl.lit(max([kept, *told["messages_since"].unique()])),
        ).lazy()
    ).collect()


def _drawn_by(name: str, shop: Shop) -> str:
    """The order of variants counts: their parts of the hash follow from it."""
    users = {"programmes": shop.routing.programmes, "audiences": shop.dispatch.audiences}
    named = {kind: sorted(user for user, one in of.items() if one.experiment == name) for kind, of in users.items()}
    return json.dumps({**shop.measurement.experiments[name].model_dump(mode="json", include=DRAWS), **named})
