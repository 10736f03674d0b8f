"""What went out of tonight's audiences: the files for each list at an advertising tool, written once and whole.

A batch is the folder of one list: `remove.jsonl`, then `add.jsonl`, each with one request per line, and `manifest.json`. It is
named by the hash of its content and appears by one rename, like a batch of messages; it is there already when a night is
run again. A list of which nothing changed has no batch. Once a later night's audiences are out, an earlier night's are not
put out any more: the later ones were made without them.
"""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, shop_key, table, text
from lifecycle_assets.dispatch.audiences import ADAPTERS, IN_IT, LIST, Found, Slices
from lifecycle_assets.dispatch.release import Delivery, Facts, Writer

FILES = {"remove.jsonl": ("remove", "removed"), "add.jsonl": ("add", "added")}
_COUNTED = ["added", "removed", "left_out"]


@table("dispatch.audience_exports", history=True)
class AudienceExports(dy.Schema):
    """What each list at an advertising tool was told tonight."""

    shop_id = shop_key()
    as_of = as_of_column()
    audience = key("The audience.")
    destination = key("The tool.")
    account_id = dy.String(primary_key=True, description="The advertiser's account there; empty where not configured.")
    list_id = dy.String(primary_key=True, description="The list's id there; empty where not configured.")
    members = count("People in the list once the batch is applied.", "people")
    added = count("People told to the tool, new ones and those of whom something changed.", "people")
    removed = count("People of whom something is taken out.", "people")
    left_out = count("People whom the rule describes and who stay out.", "people")
    batch_id = text("The batch of the changes; null where nothing changed.")
    status = text(
        "superseded: a later night's audiences are out already.",
        nullable=False,
        values=["exported", "unchanged", "superseded"],
    )


def is_superseded(later: Slices, found: Found) -> bool:
    """Whether audiences of one of the nights of `later`, all of them after tonight, are out."""
    for night, rows in later:
        batches = rows.filter(pl.col("batch_as_of") == night).select(pl.col("batch_id").unique()).collect()
        if any(found(night, batch_id) for batch_id in batches.get_column("batch_id")):
            return True
    return False


def export(rows: pl.LazyFrame, facts: Facts, delivery: Delivery, *, superseded: bool) -> pl.DataFrame:
    """Put the batches of tonight's rows of `Audiences` out; one row of `AudienceExports` per list, sorted by key.

    The caller holds the shop's ledger lock. Raises what the delivery raises: the next run goes on from there.
    """
    lists = _counts(rows)
    told = []
    for line in lists.iter_rows(named=True):
        status = "unchanged" if line["batch_id"] is None else "superseded" if superseded else "exported"
        if status == "exported":
            _put(line, rows, facts, delivery)
        told.append(status)
    return AudienceExports.conform(
        lists.lazy().with_columns(
            status=pl.Series(told, dtype=pl.String), shop_id=pl.lit(facts.shop), as_of=pl.lit(facts.as_of)
        )
    ).collect()


def _counts(rows: pl.LazyFrame) -> pl.DataFrame:
    """Per list the people by state, those left out by reason (`reasons`), and tonight's batch."""
    state = pl.col("state")
    people = pl.col("customer_id")
    tonight = pl.col("batch_as_of") == pl.col("as_of")
    by_reason = (
        rows.filter(state == "left_out")
        .group_by(*LIST, "reason")
        .agg(pl.len())
        .sort("reason")
        .group_by(LIST)
        .agg(reasons=pl.struct("reason", "len"))
    )
    return (
        rows.group_by(LIST)
        .agg(
            members=people.filter(state.is_in(IN_IT)).n_unique(),
            **{name: people.filter(state == name).n_unique() for name in _COUNTED},
            batch_id=pl.col("batch_id").filter(tonight).drop_nulls().first(),
        )
        .join(by_reason, on=LIST, how="left")
        .sort(LIST)
        .collect()
    )


def _put(line: Mapping[str, Any], rows: pl.LazyFrame, facts: Facts, delivery: Delivery) -> None:
    files = {}
    for name, (action, state) in FILES.items():
        part = rows.filter(pl.col("batch_id") == line["batch_id"], pl.col("state") == state).collect()
        if part.height:
            files[name] = _requests(part, line["destination"], action)
    delivery.put(facts.shop, facts.as_of, line["batch_id"], files, lambda hashes: _manifest(line, hashes, facts))


def _requests(rows: pl.DataFrame, destination: str, action: str) -> Writer:
    adapter = ADAPTERS[destination]

    def write(target: BinaryIO) -> None:
        target.writelines(adapter.body(part, action).encode() + b"\n" for part in rows.iter_slices(adapter.ROWS))

    return write


def _manifest(line: Mapping[str, Any], hashes: Mapping[str, str], facts: Facts) -> bytes:
    adapter = ADAPTERS[line["destination"]]
    manifest = {
        "batch_id": line["batch_id"],
        "shop": facts.shop,
        "as_of": facts.as_of.isoformat(),
        "channel": "ads",
        "audience": line["audience"],
        "run": facts.run,
        "code_version": facts.code_version,
        "destination": {
            "adapter": adapter.NAME,
            "version": adapter.VERSION,
            "account_id": line["account_id"],
            "list_id": line["list_id"],
        },
        "people": {name: line[name] for name in ("members", "added", "removed")},
        "left_out": {part["reason"]: part["len"] for part in line["reasons"] or []},
        "apply": [name for name in FILES if name in hashes],
        "files": {name: {"sha256": digest} for name, digest in sorted(hashes.items())},
    }
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
