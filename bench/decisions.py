"""Tonight's decisions for every customer, their messages and the batch: set by set, and the naive way row by row.

Both decide the same generated customers with two programmes; the naive one only a sample of them, in which every reason and
every subject line must agree. Its time for all customers is its time per customer times their number. How long the decisions
take where a hundred messages compete for each customer is in bench/arms.py.
"""

import datetime as dt
import json
import time
import zoneinfo
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import polars as pl
import yaml

from bench.harness import measure, table
from lifecycle_assets.contracts import Contract
from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.batches import Batches, batches
from lifecycle_assets.dispatch.contact import Contacts, standing
from lifecycle_assets.dispatch.decisions import Decisions, decide
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages, messages
from lifecycle_assets.dispatch.profile import Sources, profiles
from lifecycle_assets.dispatch.release import Facts, release
from lifecycle_assets.dispatch.retention import LedgerTotals
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.loyalty import CustomerLoyalty
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs import contracts as raw
from lifecycle_assets.settings import Shop, parse
from lifecycle_assets.settings.shipped import PROGRAMMES
from resources.delivery import Delivery
from resources.warehouse.lake import Lake

TITLE = "Decisions, messages and the batch"
AS_OF = dt.date(2025, 3, 1)
SAMPLE = 20_000
SHOP_ID = "bench"
# Both programmes as the naive way has them: one mail each, and nothing left to chance.
ROUTING = """
routing:
  exploration: {share: 0}
  programmes:
    winback:
      when: {all: [{field: stage, op: ==, value: lapsed}, {field: recency_days, op: between, value: [90, 365]}]}
      steps: [{channels: [email], offers: [winback_10], response_rate: 0.02}]
    welcome:
      when: {field: stage, op: ==, value: new}
      cooldown_purchase_days: 1
      steps: [{channels: [email], offers: [welcome_hello], response_rate: 0.05}]
""" + "".join(f"    {name}: {{enabled: false}}\n" for name in PROGRAMMES if name not in ("winback", "welcome"))
SHOP = "name: Bench\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /nowhere\ndispatch: {landing_url: 'https://shop.example/'}"
TABLES: dict[str, Contract] = {
    contract.table: contract
    for contract in (
        CustomerFeatures,
        LifecycleStage,
        CustomerRfm,
        CustomerLoyalty,
        Assignments,
        Ledger,
        raw.Customers,
        raw.Consents,
        raw.Suppressions,
        raw.ErasureRequests,
        raw.Engagement,
        raw.SupportTickets,
    )
}


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """The section of the report, for a tenth of `sizes` customers; raises AssertionError where the two ways disagree."""
    del memory_limit  # the SQL engine has no part in it
    rows, steps = [], {}
    for size in sizes:
        customers = size // 10
        folder = work / f"decisions_{customers}"
        generate(folder, customers)
        ours = measure("bench.decisions:ours", folder=str(folder))
        naive = measure("bench.decisions:naive", folder=str(folder))
        compared = assert_same(folder)
        whole = naive.seconds * customers / min(SAMPLE, customers)
        rows.append(
            [
                f"{customers:,}",
                f"{ours.value['messages']:,}",
                f"{ours.seconds:.1f} s ({ours.cpu_seconds:.1f} s CPU), {ours.peak_gb:.1f} GB",
                f"{whole:.0f} s",
                f"{whole / ours.seconds:.0f} x",
                f"{compared:,} equal",
            ]
        )
        steps[customers] = ours.value["seconds"]
    header = ["customers", "messages", "this project", "row by row (from a sample)", "faster", "decisions compared"]
    names = list(next(iter(steps.values())))
    parts = [[name, *(f"{seconds[name]:.2f}" for seconds in steps.values())] for name in names]
    return "\n\n".join(
        [
            "Profiles joined, every gate judged with its trace, messages rendered, tables validated and published, the batch "
            "written with its manifest and the ledger's lines.",
            table(header, rows),
            "Of which (seconds):",
            table(["step", *(f"{customers:,}" for customers in steps)], parts),
        ]
    )


def generate(folder: Path, customers: int) -> None:
    """Write every input of the decisions as Parquet: half of the customers lapsed, a third with messages lately."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    ids = pl.Series([f"c{number:08d}" for number in range(customers)])
    recency = rng.integers(0, 700, customers)
    visits = rng.integers(1, 12, customers)
    ticket = rng.gamma(2, 20, customers).round(2)
    stage = np.select([recency < 30, recency < 60, recency < 90], ["new", "active", "at_risk"], "lapsed")
    base = pl.DataFrame(
        {
            "customer_id": ids,
            "recency_days": recency,
            "visit_frequency": visits,
            "avg_ticket": ticket,
            "purchase_total": ticket * visits,
            "stage": stage,
            "first_name": rng.choice(["Ana", "Luis", "Mar & Sol", "José"], customers),
            "email": ids + "@example.com",
            "locale": rng.choice(["es-ES", "en-GB", "pt-BR", "fi-FI"], customers),
            "timezone": rng.choice(["Europe/Madrid", "America/New_York", "America/Mexico_City"], customers),
            "consent_email": rng.random(customers) < 0.8,
            "arm": np.where(rng.random(customers) < 0.15, "holdout", "treatment"),
        }
    )
    at = np.datetime64("2025-03-01T09:00:00", "us")
    sent = rng.choice(customers, customers // 3)
    engagement = pl.DataFrame({"customer_id": ids[sent]}).with_columns(
        message_id=pl.format("m{}", pl.int_range(pl.len())),
        channel=pl.lit("email"),
        sent_at=pl.Series(at - rng.integers(0, 40, len(sent)).astype("timedelta64[D]")).dt.replace_time_zone("UTC"),
    )
    withdrawn = pl.DataFrame({"customer_id": ids[rng.choice(customers, customers // 20, replace=False)]}).with_columns(
        channel=pl.lit("email"), granted=pl.lit(value=False), occurred_at=pl.lit(dt.datetime(2024, 5, 1, tzinfo=dt.UTC))
    )
    past = base.sample(customers // 10, seed=1).select(
        "customer_id",
        idempotency_key="customer_id",
        batch_id=pl.lit("b"),
        event=pl.lit("exported"),
        at=pl.lit(dt.datetime(2024, 11, 2, tzinfo=dt.UTC)),
        channel=pl.lit("email"),
        programme=pl.lit("winback"),
        step=pl.lit(1),
        offer_id=pl.lit("winback_10"),
        actor=pl.lit("nightly run"),
        run=pl.lit("past"),
        as_of=pl.lit(dt.date(2024, 11, 1)),
    )
    arms = pl.concat(base.select("customer_id", "arm", experiment=pl.lit(name)) for name in ("winback", "welcome"))
    given = {"assignments": arms, "engagement": engagement, "consents": withdrawn, "ledger": past}
    tables_of_base = ("customer_features", "lifecycle_stage", "customer_rfm", "customer_loyalty", "customers")
    for name, contract in TABLES.items():
        frame = given.get(name, base if name in tables_of_base else base.clear())
        columns = [
            (pl.col(column) if column in frame.columns else pl.lit(None)).cast(dtype).alias(column)
            for column, dtype in contract.polars_schema.items()
            if column not in ("shop_id", "as_of")
        ]
        night = pl.col("as_of") if "as_of" in frame.columns else pl.lit(AS_OF).alias("as_of")
        frame.select(pl.lit(SHOP_ID).alias("shop_id"), night, *columns).write_parquet(folder / f"{name}.parquet")


def given_in(folder: Path) -> dict[str, pl.LazyFrame]:
    """The generated tables by name."""
    return {name: pl.scan_parquet(folder / f"{name}.parquet") for name in TABLES}


def contacts_of(given: dict[str, pl.LazyFrame]) -> Contacts:
    names = ("customers", "consents", "suppressions", "erasure_requests", "engagement")
    empty = raw.Identities.empty().lazy(), IdentityMap.empty().lazy()
    return Contacts(*(given[name] for name in names), *empty)


def sources_of(given: dict[str, pl.LazyFrame], sent: pl.LazyFrame) -> Sources:
    return Sources(
        given["customer_features"],
        given["lifecycle_stage"],
        given["customer_rfm"],
        given["customer_loyalty"],
        contacts_of(given),
        given["support_tickets"],
        given["assignments"],
        sent,
        Ledger.empty().lazy(),
    )


def ours(folder: str) -> dict[str, Any]:
    """The night as the assets run it, from Parquet to tables, files and ledger."""
    work = Path(folder)
    shop = parse(Shop, f"{SHOP}\n{ROUTING}", "bench")
    given = given_in(work)
    contacts = contacts_of(given)
    home = work / f"home-{time.time_ns()}"
    lake = Lake(home / "warehouse", [Decisions, Messages, Batches, Ledger])
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def done(step: str) -> None:
        nonlocal started
        seconds[step] = time.perf_counter() - started
        started = time.perf_counter()

    sent = ledgers.sent(given["ledger"], [])
    people = profiles(sources_of(given, sent), as_of=AS_OF, shop=shop)
    done("profiles")
    decided = decide(
        people,
        shop_id=SHOP_ID,
        as_of=AS_OF,
        shop=shop,
        used=ledgers.offers_used(sent, LedgerTotals.empty().lazy(), AS_OF),
    )
    del people
    done("decisions")
    lake.write(Decisions, SHOP_ID, AS_OF, decided)
    del decided
    done("decisions validated and published")
    decisions = lake.scan(Decisions, SHOP_ID)
    written = messages(decisions, given["customers"], shop_id=SHOP_ID, as_of=AS_OF, shop=shop)
    done("messages")
    lake.write(Messages, SHOP_ID, AS_OF, written)
    planned = batches(written.lazy(), sent, assumptions={})
    lake.write(Batches, SHOP_ID, AS_OF, planned)
    done("messages and batches validated and published")
    outcome = release(
        written,
        planned,
        standing(written.lazy(), contacts, shop.routing, ["email"], until=None),
        given["ledger"],
        Facts(SHOP_ID, AS_OF, "bench", dt.datetime(2025, 3, 2, tzinfo=dt.UTC), "bench", {}),
        shop=shop,
        now=None,
        delivery=Delivery(home / "dispatch"),
        append=lambda lines: lake.append(Ledger, SHOP_ID, AS_OF, lines) and None,
    )
    done("batch files and ledger")
    decisions.select("customer_id", "reason").sink_parquet(work / "ours.parquet")
    written.select("customer_id", "subject").write_parquet(work / "ours_subjects.parquet")
    return {"messages": outcome.exported, "seconds": seconds}


def naive(folder: str) -> None:
    """The same decisions and subject lines for the first SAMPLE customers, one customer after the other."""
    work = Path(folder)
    few = pl.scan_parquet(work / "customers.parquet").head(SAMPLE).select("customer_id")
    rows = {
        name: pl.scan_parquet(work / f"{name}.parquet").join(few, on="customer_id", how="semi").collect().to_dicts()
        for name in ("consents", "engagement", "ledger")
    }
    sample = {
        name: {row["customer_id"]: row for row in pl.read_parquet(work / f"{name}.parquet").head(SAMPLE).to_dicts()}
        for name in ("customer_features", "lifecycle_stage", "customers", "assignments")
    }
    withdrawn = {row["customer_id"] for row in rows["consents"] if not row["granted"]}
    zone = zoneinfo.ZoneInfo("Europe/Madrid")
    until = end_of(AS_OF, "Europe/Madrid")
    days: dict[str, list[dt.date]] = defaultdict(list)
    for row in rows["engagement"]:
        if row["sent_at"] < until:
            days[row["customer_id"]].append(row["sent_at"].astimezone(zone).date())
    winback = {row["customer_id"]: row["as_of"] + dt.timedelta(days=1) for row in rows["ledger"]}
    reasons, subjects = [], []
    for customer, features in sample["customer_features"].items():
        person = sample["customers"][customer]
        stage = sample["lifecycle_stage"][customer]["stage"]
        lapsed = stage == "lapsed" and 90 <= features["recency_days"] <= 365
        sent_7 = sum(day > AS_OF - dt.timedelta(days=6) for day in days[customer])
        bought = AS_OF - dt.timedelta(days=int(features["recency_days"]))
        if not person["consent_email"] or customer in withdrawn:
            reason = "no_consent"
        elif stage != "new" and not lapsed:
            reason = "not_qualified"
        elif lapsed and (features["visit_frequency"] < 3 or features["purchase_total"] < 50):
            reason = "unrecoverable"
        elif sample["assignments"][customer]["arm"] == "holdout":
            reason = "holdout"
        elif sent_7 >= 3:
            reason = "fatigue"
        elif lapsed and customer in winback and winback[customer] > bought:
            reason = "journey_complete"
        elif stage == "new" and features["recency_days"] < 1:
            reason = "cooldown_purchase"
        elif float(features["avg_ticket"]) * (0.02 * 0.2 if lapsed else 0.05 * 0.3) <= 0.001:
            reason = "no_value"
        else:
            reason = "best_action"
            subjects.append((customer, _subject("winback" if lapsed else "welcome", person)))
        trace = {
            "consent": {"pass": reason != "no_consent", "basis": "flag"},
            "qualified": {"pass": stage == "new" or lapsed},
            "recoverable": {"visits": features["visit_frequency"], "spent": float(features["purchase_total"])},
            "holdout": sample["assignments"][customer]["arm"],
            "fatigue": {"pass": sent_7 < 3, "sent": sent_7, "limit": 3},
            "cooldown": {"days_since_purchase": features["recency_days"]},
        }
        reasons.append((customer, reason, json.dumps(trace)))
    pl.DataFrame(reasons, schema=["customer_id", "reason", "trace"], orient="row").write_parquet(work / "naive.parquet")
    pl.DataFrame(subjects, schema=["customer_id", "subject"], orient="row").write_parquet(
        work / "naive_subjects.parquet"
    )


def assert_same(folder: Path) -> int:
    """How many decisions were compared; raises AssertionError where one differs."""
    for name in ("", "_subjects"):
        theirs = pl.read_parquet(folder / f"naive{name}.parquet").drop("trace", strict=False).sort("customer_id")
        own = pl.read_parquet(folder / f"ours{name}.parquet").join(
            pl.read_parquet(folder / "naive.parquet"), on="customer_id", how="semi"
        )
        assert own.sort("customer_id").equals(theirs), f"the two ways disagree ({name or 'reasons'})"
    return pl.read_parquet(folder / "naive.parquet").height


def _subject(content: str, person: dict[str, Any]) -> str:
    """Renders all parts of the customer's message; returns the subject line."""
    language = person["locale"][:2] if person["locale"][:2] in ("en", "es", "pt") else "en"
    values = {
        "first_name": person["first_name"],
        "shop": "Bench",
        "discount_pct": "10" if content == "winback" else "",
        "url": "https://shop.example/",
        "cta": "",
        "language": language,
    }
    parts = {name: template.render(values) for name, template in _templates(f"{content}.email", language).items()}
    return parts["subject"]


@cache
def _templates(name: str, language: str) -> dict[str, jinja2.Template]:
    path = Path(__file__).parent.parent / "lifecycle_assets/dispatch/templates" / f"{language}.yaml"
    sources = yaml.safe_load(path.read_text("utf-8"))[name]
    return {part: jinja2.Template(source, autoescape=part == "html") for part, source in sources.items()}
