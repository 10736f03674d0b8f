"""Why the last night decided so about a customer."""

import duckdb
import polars as pl

from lifecycle_assets import definitions
from lifecycle_assets.definitions import Home
from lifecycle_assets.dispatch import gathering
from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.explain import Explanation, explain
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.release import recovered_batches
from lifecycle_assets.dispatch.retention import LedgerTotals
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.features.identity import resolved
from lifecycle_assets.settings.base import nearest


def explain_decision(home: Home, shop: str, customer: str, offer: str | None) -> Explanation:
    """Why the shop's last night decided so about a customer, and why not for an offer. The customer may be named by any of
    their accounts; raises LifecycleError where customer or offer is unknown."""
    settings = home.shop(shop)
    offers = settings.routing.offers
    if offer is not None and offer not in offers:
        raise LifecycleError(f"{shop}: no offer '{offer}'{nearest(offer, offers)}")
    resources = definitions.build_resources(home)
    lake = resources["lake"]
    decisions = lake.scan(Decisions, shop)
    tables = {contract.table: lake.scan(contract, shop) for contract in gathering.READS}
    asked = resolved(pl.LazyFrame({"customer_id": [customer]}), tables["identity_map"])
    found = decisions.join(asked, on="customer_id", how="semi").collect()
    if found.is_empty():
        near = ", ".join(_nearest_customers(customer, decisions))
        raise LifecycleError(f"{shop}: no decision about a customer '{customer}'" + (f"; near: {near}" if near else ""))
    lines = lake.scan(Ledger, shop)
    recovered = recovered_batches(lines, shop, resources["delivery"])
    heard = ledgers.heard(lines, recovered, approval=settings.dispatch.approval)
    decision = found.row(0, named=True)
    used = ledgers.offers_used(heard, lake.scan(LedgerTotals, shop), decision["as_of"])
    sources = gathering.sources(tables, heard, ledgers.undone(lines))
    return explain(decision, sources, gathering.knowledge(tables), used, settings, offer)


def _nearest_customers(customer: str, decisions: pl.LazyFrame) -> list[str]:
    known = decisions.select("customer_id").collect()
    with duckdb.connect(":memory:") as connection:
        connection.register("known", known.to_arrow())
        # Near: at least 0.6 of the longer name's letters stay.
        nearest_first = """
            SELECT customer_id FROM known
            WHERE levenshtein(customer_id, $asked) <= 0.4 * greatest(length(customer_id), length($asked))
            ORDER BY levenshtein(customer_id, $asked), customer_id LIMIT 3
        """
        return [name for (name,) in connection.execute(nearest_first, {"asked": customer}).fetchall()]
