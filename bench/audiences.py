"""A list of a million people at an advertising tool, and its next night: in columns, and the naive way person by person.

Everyone has an e-mail address and a telephone number, written as people write them; a tenth is held out. The night after, one
of a hundred has another address. The naive way brings each person's addresses and names into the tool's form with a loop,
phonenumbers and hashlib; it does a sample, whose rows must agree, and its time for all is its time per person times their
number. It keeps no account of what the tool holds.
"""

import datetime as dt
import hashlib
import json
import shutil
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.harness import measure, table
from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.audience_exports import export
from lifecycle_assets.dispatch.audiences import Audiences, audiences, held
from lifecycle_assets.dispatch.contact import Contacts
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.profile import Sources
from lifecycle_assets.dispatch.release import Facts
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.loyalty import CustomerLoyalty
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs import contracts as raw
from lifecycle_assets.settings import Shop, parse
from resources.delivery import Delivery

TITLE = "A million people in an audience"
AS_OF = dt.date(2025, 3, 1)
SAMPLE = 20_000
NAMES = ["Ana", "María José", "O'Hara", "Zoë", "François", "정"]
SHOP = """
name: Café Lupe
timezone: Europe/Madrid
currency: EUR
country: ES
input: /nowhere
routing: {channels: {ads: {enabled: true}}}
dispatch:
  audiences:
    back: {who: {field: stage, op: "==", value: lapsed}}
    lapsed_valuable: {enabled: false}
    vip_lookalike: {enabled: false}
    recent_buyers: {enabled: false}
"""


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """The section of the report, for a tenth of the largest of `sizes`; raises AssertionError where the two ways disagree."""
    del memory_limit  # the SQL engine has no part in it
    many = max(sizes) // 10
    folder = work / f"audience_{many}"
    generate(folder, many)
    rows = []
    for night in (0, 1):
        ours = measure("bench.audiences:ours", folder=str(folder), night=night)
        files = ours.value["megabytes"]
        told = f"{ours.value['added']:,} added, {ours.value['removed']:,} removed"
        seconds = f"{ours.seconds:.1f} s ({ours.cpu_seconds:.1f} s CPU)"
        rows.append([f"night {night + 1}", told, seconds, f"{files:,.0f} MB", f"{ours.peak_gb:.1f} GB"])
    naive = measure("bench.audiences:naive", folder=str(folder))
    compared = assert_same(folder)
    whole = naive.value * many / compared
    rows.append(["one by one (from a sample)", "all", f"{whole:.0f} s", "", f"{naive.peak_gb:.1f} GB"])
    return "\n\n".join(
        [
            f"Of {many:,} customers who belong to a list at Meta a tenth is held out. A night: who belongs to it, addresses "
            "and names in the tool's form and hashed, held against what the tool holds, requests written, fsynced and "
            f"hashed. {compared:,} rows were compared with the naive way's.",
            table(["", "people", "time", "files", "peak"], rows),
        ]
    )


def generate(folder: Path, many: int) -> None:
    """Write the customers of two nights and the arms of the experiment as Parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    number = pl.Series(range(many))
    phone = pl.Series(600_000_000 + rng.permutation(many)).cast(pl.String)
    people = pl.DataFrame(
        {
            "customer_id": "c" + number.cast(pl.String).str.zfill(8),
            "email": "  User" + number.cast(pl.String) + "@Example.com",
            "phone": phone.str.slice(0, 3) + " " + phone.str.slice(3),
            "first_name": pl.Series(NAMES).gather(rng.integers(0, len(NAMES), many)),
        }
    ).with_columns(country=pl.lit("ES"), consent_ads=pl.lit(value=True), stage=pl.lit("lapsed"))
    moved = pl.int_range(pl.len()) % 100 == 0
    later = people.with_columns(
        email=pl.when(moved).then("new." + pl.col("email").str.strip_chars()).otherwise("email")
    )
    for night, frame in enumerate((people, later)):
        frame.write_parquet(folder / f"people_{night}.parquet")
    held_out = pl.Series(rng.random(many) < 0.1)
    arms = people.select("customer_id", experiment=pl.lit("ads"), arm=pl.lit("treatment"))
    arms = arms.with_columns(arm=pl.when(held_out).then(pl.lit("holdout")).otherwise("arm"))
    arms.write_parquet(folder / "arms.parquet")


def ours(folder: str, night: int) -> dict[str, Any]:
    place = Path(folder)
    as_of = AS_OF + dt.timedelta(days=night)
    delivery = Delivery(place / "dispatch")
    slices = [(AS_OF, pl.scan_parquet(place / "slice_0.parquet"))] if night else []
    before = held(slices, lambda at, batch_id: delivery.found("bench", at, batch_id))
    shop = parse(Shop, SHOP, "bench", [])
    if not night:
        shutil.rmtree(delivery.root, ignore_errors=True)
    rows = audiences(_sources(place, night), before, Audiences.empty(), shop_id="bench", as_of=as_of, shop=shop)
    rows.write_parquet(place / f"slice_{night}.parquet")
    facts = Facts("bench", as_of, f"bench@{as_of}", dt.datetime(2025, 3, 2, tzinfo=dt.UTC), "bench", {})
    told = export(rows.lazy(), facts, delivery, superseded=False).row(0, named=True)
    size = sum(path.stat().st_size for path in delivery.night("bench", as_of).rglob("*.jsonl"))
    return {"added": told["added"], "removed": told["removed"], "megabytes": size / 1e6}


def naive(folder: str) -> float:
    import phonenumbers

    place = Path(folder)
    arms = pl.read_parquet(place / "arms.parquet").filter(arm="treatment").select("customer_id")
    people = pl.read_parquet(place / "people_0.parquet").join(arms, on="customer_id", how="semi").head(SAMPLE)
    started = time.perf_counter()
    rows = []
    for person in people.iter_rows(named=True):
        number = phonenumbers.parse(person["phone"], person["country"])
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        first = unicodedata.normalize("NFC", person["first_name"]).lower()
        plain = [
            person["email"].strip().lower(),
            e164.removeprefix("+"),
            "".join(c for c in first if c.isalpha()),
            "",
            "es",
        ]
        rows.append([person["customer_id"], *(hashlib.sha256(p.encode()).hexdigest() if p else "" for p in plain)])
    (place / "naive.json").write_text(json.dumps(rows), "utf-8")
    return time.perf_counter() - started


def assert_same(folder: Path) -> int:
    """How many rows were compared; raises AssertionError where one differs."""
    one_by_one = json.loads((folder / "naive.json").read_text("utf-8"))
    (file,) = (folder / "dispatch/bench" / str(AS_OF)).glob("*/add.jsonl")
    with file.open(encoding="utf-8") as lines:
        bodies = [json.loads(line) for line, _ in zip(lines, range(SAMPLE // 10_000), strict=False)]
    own = [row for body in bodies for row in body["payload"]["data"]][: len(one_by_one)]
    assert own == one_by_one[: len(own)], "the two ways disagree"
    return len(own)


def _sources(place: Path, night: int) -> Sources:
    people = pl.scan_parquet(place / f"people_{night}.parquet")
    nobody = [
        contract.empty().lazy() for contract in (raw.Consents, raw.Suppressions, raw.ErasureRequests, raw.Engagement)
    ]
    return Sources(
        *(_typed(people, contract) for contract in (CustomerFeatures, LifecycleStage, CustomerRfm, CustomerLoyalty)),
        contacts=Contacts(
            _typed(people, raw.Customers), *nobody, raw.Identities.empty().lazy(), IdentityMap.empty().lazy()
        ),
        support_tickets=raw.SupportTickets.empty().lazy(),
        assignments=_typed(pl.scan_parquet(place / "arms.parquet"), Assignments),
        sent=Ledger.empty().lazy(),
        undone=Ledger.empty().lazy(),
    )


def _typed(frame: pl.LazyFrame, contract: Contract) -> pl.LazyFrame:
    """The frame with all columns of the contract; null where it has none."""
    have = frame.collect_schema().names()
    return frame.select(
        (pl.col(name) if name in have else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in contract.polars_schema.items()
    )
