"""A small shop whose every customer passes all gates, so that a test can break one thing at a time."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch import batches as batching
from lifecycle_assets.dispatch import decisions as deciding
from lifecycle_assets.dispatch import gathering
from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch import messages as writing
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.batches import Batches
from lifecycle_assets.dispatch.contact import Contacts, standing
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.dispatch.people import people as people_of
from lifecycle_assets.dispatch.profile import Sources, profiles
from lifecycle_assets.dispatch.release import Facts, Outcome, recovered_batches, release
from lifecycle_assets.dispatch.retention import LedgerTotals
from lifecycle_assets.dispatch.trace import models
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.loyalty import CustomerLoyalty
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs import contracts as raw
from lifecycle_assets.settings import Shop, parse
from lifecycle_assets.settings.shipped import PROGRAMMES

AS_OF = dt.date(2025, 3, 1)
SHOP_FILE = """
name: Café Lupe
timezone: Europe/Madrid
currency: EUR
country: ES
input: /nowhere
dispatch: {landing_url: "https://shop.example/hello?lang=x"}
"""

# A customer whom winback may reach: the values that matter to a gate, overridden one at a time.
LAPSED: dict[str, Any] = {
    "stage": "lapsed",
    "recency_days": 120,
    "visit_frequency": 5,
    "purchase_total": 400.0,
    "avg_ticket": 80.0,
    "email": "someone@example.com",
    "consent_email": True,
    "first_name": "Ana",
}
NEW: dict[str, Any] = {**LAPSED, "stage": "new", "recency_days": 5, "visit_frequency": 1, "purchase_total": 80.0}
KNOWN = {contract.name: contract for contract in gathering.KNOWN}


def table(contract: Contract, rows: list[dict[str, Any]], as_of: dt.date = AS_OF) -> pl.DataFrame:
    """Rows of a contract's table; what a row leaves out is null, the shop and the date are set."""
    schema = contract.polars_schema
    columns = {
        name: pl.Series(name, [row.get(name) for row in rows], dtype=dtype, strict=False)
        for name, dtype in schema.items()
    }
    frame = pl.DataFrame(columns)
    if "shop_id" in schema:
        frame = frame.with_columns(shop_id=pl.lit("lupe"), as_of=pl.lit(as_of))
    return frame


@dataclass
class World:
    """A shop's tables as rows, and the night run over them. `variants` are customers by experiment with the
    variant that they got. `accounts` are further customer ids of `people`, each the
    row of raw.customers of another account of the one it names as `of`. `programmes` are those of the shipped ones that are
    enabled, `known` the rows of the models' tables and of dispatch.triggers that there are, by table."""

    people: dict[str, dict[str, Any]]
    as_of: dt.date = AS_OF
    settings: list[str] = field(default_factory=list)
    consents: list[dict[str, Any]] = field(default_factory=list)
    suppressions: list[dict[str, Any]] = field(default_factory=list)
    erasures: list[dict[str, Any]] = field(default_factory=list)
    engagement: list[dict[str, Any]] = field(default_factory=list)
    identities: list[dict[str, Any]] = field(default_factory=list)
    tickets: list[dict[str, Any]] = field(default_factory=list)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    holdout: dict[str, set[str]] = field(default_factory=dict)
    variants: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: pl.DataFrame = field(default_factory=Ledger.empty)
    shuffled: bool = False
    explores: bool = False
    programmes: tuple[str, ...] = ("winback", "welcome")
    known: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    yaml: str = ""

    @property
    def shop(self) -> Shop:
        still = [] if self.explores else ["routing.exploration.share=0"]
        others = [f"routing.programmes.{name}.enabled=false" for name in PROGRAMMES if name not in self.programmes]
        return parse(Shop, SHOP_FILE + self.yaml, "shops/lupe.yaml", [*still, *others, *self.settings])

    def contacts(self) -> Contacts:
        people = [{"customer_id": name, **values} for name, values in (self.people | self.accounts).items()]
        ids = [{"id_type": "customer_id", "id": n, "customer_id": a["of"]} for n, a in self.accounts.items()]
        return Contacts(
            table(raw.Customers, people, self.as_of).lazy(),
            table(raw.Consents, self.consents, self.as_of).lazy(),
            table(raw.Suppressions, self.suppressions, self.as_of).lazy(),
            table(raw.ErasureRequests, self.erasures, self.as_of).lazy(),
            table(raw.Engagement, self.engagement, self.as_of).lazy(),
            table(raw.Identities, self.identities, self.as_of).lazy(),
            table(IdentityMap, ids, self.as_of).lazy(),
        )

    def sources(self, found: list[str] | None = None) -> Sources:
        people = [{"customer_id": name, **values} for name, values in self.people.items()]
        if self.shuffled:
            people.reverse()
        arms = [
            {
                "experiment": experiment,
                "customer_id": name,
                "arm": "holdout" if name in self.holdout.get(experiment, set()) else "treatment",
                "variant": self.variants.get(experiment, {}).get(name),
            }
            for experiment in self.shop.measurement.experiments
            for name in self.people
        ]
        return Sources(
            table(CustomerFeatures, people, self.as_of).lazy(),
            table(LifecycleStage, people, self.as_of).lazy(),
            table(CustomerRfm, people, self.as_of).lazy(),
            table(CustomerLoyalty, people, self.as_of).lazy(),
            self.contacts(),
            table(raw.SupportTickets, self.tickets, self.as_of).lazy(),
            table(Assignments, arms, self.as_of).lazy(),
            ledgers.heard(self.lines.lazy(), found or [], approval=self.shop.dispatch.approval),
            ledgers.undone(self.lines.lazy()),
            {name: table(KNOWN[name], rows, self.as_of).lazy() for name, rows in self.known.items()},
        )

    def decide(self, taken: pl.DataFrame | None = None, found: list[str] | None = None) -> pl.DataFrame:
        sources = self.sources(found)
        decided = deciding.decide(
            profiles(sources, as_of=self.as_of, shop=self.shop),
            shop_id="lupe",
            as_of=self.as_of,
            shop=self.shop,
            used=ledgers.offers_used(sources.sent, LedgerTotals.empty().lazy(), self.as_of),
            standing=taken,
        )
        decided = Decisions.conform(decided.lazy()).collect()
        Decisions.require(decided)
        return decided

    def reasons(self) -> dict[str, str]:
        return dict(self.decide().select("customer_id", "reason").iter_rows())

    def messages(self, decided: pl.DataFrame, **more: Any) -> pl.DataFrame:
        contacts = self.contacts()
        customers = people_of(contacts.customers, contacts.identity_map)
        written = writing.messages(decided.lazy(), customers, shop_id="lupe", as_of=self.as_of, shop=self.shop, **more)
        Messages.require(written)
        return written


@dataclass
class Night:
    """A whole run of a world's night as the assets do it: with a ledger and delivered folders that outlive it."""

    world: World
    delivery: Any
    append: Callable[[pl.DataFrame], None]
    lines: Callable[[], pl.DataFrame]
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    at: dt.datetime = dt.datetime(2025, 3, 2, 2, tzinfo=dt.UTC)
    archive: bool = False
    # Batches of other nights that still wait for approval.
    waiting: list[str] = field(default_factory=list)

    def plan(self) -> None:
        world = self.world
        world.lines = self.lines()
        found = recovered_batches(world.lines.lazy(), "lupe", self.delivery)
        sent = ledgers.sent(world.lines.lazy(), found)
        tonight = sent.filter(pl.col("as_of") == world.as_of).select("customer_id", "batch_id").collect()
        out = pl.col("batch_id").is_in(tonight["batch_id"].unique().implode())
        gone = self.tables.get("messages", Messages.empty()).filter(out)
        taken = self.tables.get("decisions", Decisions.empty())
        taken = taken.filter(pl.col("customer_id").is_in(gone["customer_id"].implode()))
        decided = world.decide(taken, found)
        written = world.messages(decided, released=gone, reached=tonight.select("customer_id").unique())
        planned = batching.batches(
            written.lazy(),
            sent.filter(pl.col("as_of") < world.as_of),
            assumptions=batching.assumptions(world.shop.routing.assume_consent),
            released=self.tables.get("batches", Batches.empty()).filter(out),
        )
        Batches.require(planned)
        self.tables = {"decisions": decided, "messages": written, "batches": planned}

    def release(self) -> Outcome:
        written, lines = self.tables["messages"], self.lines().lazy()
        used = sorted({"email", *written["channel"]})
        known = standing(written.lazy(), self.world.contacts(), self.world.shop.routing, used, until=None)
        reasons = dict(self.tables["decisions"].group_by("reason").len().sort("reason").iter_rows())
        made_with = models(self.tables["decisions"].lazy())
        facts = Facts("lupe", self.world.as_of, f"lupe@{self.world.as_of}", self.at, "1", reasons, models=made_with)
        return release(
            written,
            self.tables["batches"],
            known,
            lines,
            facts,
            shop=self.world.shop,
            now=None if self.archive else self.at,
            delivery=self.delivery,
            append=self.append,
            approved=set(ledgers.approved(lines)["batch_id"]) if self.world.shop.dispatch.approval else None,
            waiting=self.waiting,
        )

    def run(self) -> Outcome:
        self.plan()
        return self.release()
