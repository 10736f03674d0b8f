"""Which of the ids that the shop knows are one person, and why?

Customers who have an address or a visitor id in common are linked: by a row of raw.identities, an equal e-mail address, or
an equal telephone number (see addresses). The connected components of the links are the profiles: deterministic record
linkage with exact agreement (Christen, Data Matching, 2012, chapter 6). A profile goes by the customer id of its oldest
account, those without a date last, then by the first in the alphabet.

What does not link: an address or visitor id of more customers than its kind's hub_limits is a till's or an office's and
links nobody, nor does a placeholder such as noreply@shop.com. The limit is higher for e-mail, since a guest may get a new
customer id at every checkout. A component of more than max_merged customer ids is a chain of mishaps: its links by phone
go first, then those by e-mail, then all. A visitor id known from web events alone merges no accounts, since people share
devices; its visits are a profile's where all who signed in under it are of that profile.

The map is made anew from the raw tables every night, so taking a link away undoes what it merged. Accounts made after
as_of link nothing. raw.identities bears no dates and holds as of every night. Without addresses everyone stands alone.
"""

import datetime as dt
from typing import TYPE_CHECKING

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets import addresses
from lifecycle_assets.contracts import as_of_column, count, key, shop_key, table, text
from lifecycle_assets.days import end_of
from lifecycle_assets.features.identity_ids import ID_TYPES
from lifecycle_assets.settings import Shop
from lifecycle_assets.settings.identity import Identity

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CUSTOMER, VISITOR = ID_TYPES
KINDS = pl.Enum(["identities", "email", "phone"])  # what links, the strongest first
ADDRESSES = {VISITOR: "visitor id", "email": "e-mail address", "phone": "telephone number"}


@table("features.identity_map", needs=("raw.customers", "raw.identities"))
class IdentityMap(dy.Schema):
    """Who became whom: the profile of each customer id and visitor id, and the link that put it there."""

    shop_id = shop_key()
    as_of = as_of_column()
    id_type = dy.String(
        primary_key=True, check=lambda column: column.is_in(ID_TYPES), description=f"One of: {', '.join(ID_TYPES)}."
    )
    id = key("The id.")
    customer_id = text("The profile it became, one of the profile's own customer ids; null for a visitor id of nobody.")
    n_ids = count("Ids of the profile, visitor ids included; 0 for a visitor id of nobody.", "ids")
    link = text(
        "What put it there: self for the profile's own id, anonymous_id for a visitor id that the profile was signed in "
        "under; null for a visitor id of nobody.",
        values=["self", *KINDS.categories, VISITOR],
    )
    linked_to = text("The customer id at the other end of that link, one step nearer to the profile's own id.")
    refused = text("Why an address or visitor id that it shares with others did not link it.")
    reason = text("The row in words, without any address.", nullable=False)


def identity_map(
    identity_ids: pl.LazyFrame,
    customers: pl.LazyFrame,
    identities: pl.LazyFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    shop: Shop,
) -> pl.DataFrame:
    """One row of `IdentityMap` per id of features.identity_ids and per visitor id that raw.identities tells of, sorted by
    id_type and id. `customers` is raw.customers, `identities` raw.identities."""
    settings = shop.customer.identity
    accounts = customers.select("customer_id", "email", "phone", "country", "created_at").collect()
    late = accounts.filter(pl.col("created_at") >= end_of(as_of, shop.timezone)).select("customer_id")
    accounts = accounts.join(late, on="customer_id", how="anti")
    stated = identities.select("customer_id", VISITOR, "email", "phone").collect()
    stated = stated.join(late, on="customer_id", how="anti")

    edges = _edges(accounts, stated, shop.country).filter(pl.col("kind").cast(pl.String).is_in(list(settings.link_by)))
    edges, hubs = _without_hubs(edges, settings)
    edges, chains = _without_chains(_numbered(edges, accounts), settings.max_merged)
    linked = _profiles(edges)
    refused = pl.concat([hubs, chains]).group_by("id_type", "id").agg(pl.col("refused").unique().sort().str.join("; "))
    return _rows(identity_ids.select("id_type", "id", "customer_id").collect(), linked, refused, shop_id, as_of)


def resolved(rows: pl.LazyFrame, identity_map: pl.LazyFrame) -> pl.LazyFrame:
    """`rows` with every customer_id replaced by the one of its profile; ids that the map does not know stay."""
    return (
        rows.join(moved(identity_map), left_on="customer_id", right_on="id", how="left")
        .with_columns(pl.coalesce("profile", "customer_id").alias("customer_id"))
        .drop("profile")
    )


def moved(identity_map: pl.LazyFrame) -> pl.LazyFrame:
    """id, profile of the customer ids that became another's profile."""
    return identity_map.filter((pl.col("id_type") == CUSTOMER) & (pl.col("id") != pl.col("customer_id"))).select(
        "id", profile="customer_id"
    )


def _edges(accounts: pl.DataFrame, stated: pl.DataFrame, home: str) -> pl.DataFrame:
    """customer_id, address_type, address, kind: who has which address or visitor id, and what says so; each pair once, on
    the strongest word."""
    stated = stated.join(accounts.select("customer_id", "country"), on="customer_id", how="left")

    def written(address: str) -> pl.DataFrame:
        return pl.concat(
            given.select("customer_id", "country", address=address, kind=pl.lit(kind, dtype=KINDS))
            for given, kind in ((accounts, address), (stated, "identities"))
        ).drop_nulls("address")

    found = {
        VISITOR: stated.select("customer_id", address=VISITOR, kind=pl.lit("identities", dtype=KINDS)),
        "email": addresses.emails(written("email").drop("country")),
        "phone": addresses.phones(written("phone"), home),
    }
    return (
        pl.concat(
            frame.select("customer_id", "address", "kind", address_type=pl.lit(name)) for name, frame in found.items()
        )
        .drop_nulls("address")
        .group_by("customer_id", "address_type", "address")
        .agg(pl.col("kind").min())
    )


def _without_hubs(edges: pl.DataFrame, settings: Identity) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The edges of addresses that are no placeholders and that no more customers have than the limit of their kind, and
    who is refused for the others."""
    kind, customers = pl.col("address_type"), pl.col("customers")
    limit = kind.replace_strict(settings.hub_limits.model_dump())
    placeholder = (kind == "email") & addresses.is_placeholder(settings.placeholders)
    why = pl.when(placeholder).then(pl.lit("a placeholder")).otherwise(pl.format("limit {}", limit))
    hubs = (
        edges.group_by("address_type", "address")
        .agg(customers=pl.len())
        .filter((customers > limit) | (placeholder & (customers > 1)))
        .with_columns(
            refused=pl.format("{} shared by {} customers, {}", kind.replace_strict(ADDRESSES), customers, why)
        )
    )
    refused = pl.concat(
        [
            edges.join(hubs, on=["address_type", "address"]).select(
                pl.lit(CUSTOMER).alias("id_type"), "refused", id="customer_id"
            ),
            hubs.filter(pl.col("address_type") == VISITOR).select(
                pl.lit(VISITOR).alias("id_type"), "refused", id="address"
            ),
        ]
    )
    return edges.join(hubs, on=["address_type", "address"], how="anti"), refused


def _numbered(edges: pl.DataFrame, accounts: pl.DataFrame) -> pl.DataFrame:
    """The edges, sorted, between numbered nodes: `customer`, the oldest account first, and `node`, which goes on counting
    with the addresses, those first that are nearer to a person."""
    customers = (
        edges.select("customer_id")
        .unique()
        .join(accounts.select("customer_id", "created_at"), on="customer_id", how="left")
        .sort("created_at", "customer_id", nulls_last=True)
        .select("customer_id", customer=pl.int_range(pl.len()))
    )
    nodes = (
        edges.select("address_type", "address")
        .unique()
        .sort(pl.col("address_type").replace_strict({name: i for i, name in enumerate(ADDRESSES)}), "address")
        .with_columns(node=pl.int_range(pl.len()) + customers.height)
    )
    numbered = edges.join(customers, on="customer_id").join(nodes, on=["address_type", "address"])
    return numbered.sort("customer", "node")


def _without_chains(edges: pl.DataFrame, limit: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The edges without the weakest of every component of more than `limit` customers, and who is refused for them."""
    refused = [pl.DataFrame(schema={"id_type": pl.String, "refused": pl.String, "id": pl.String})]
    for kind in reversed(KINDS.categories):
        sized = edges.with_columns(component=pl.Series(_components(edges)[edges["customer"].to_numpy()])).with_columns(
            customers=pl.col("customer").n_unique().over("component")
        )
        chains = sized.filter((pl.col("customers") > limit) & (pl.col("kind") == kind))
        why = pl.format("chain of {} customers, limit {}: not linked by " + kind, "customers", limit)
        refused += [
            chains.select(pl.lit(CUSTOMER).alias("id_type"), why.alias("refused"), id="customer_id"),
            chains.filter(pl.col("address_type") == VISITOR).select(
                pl.lit(VISITOR).alias("id_type"), why.alias("refused"), id="address"
            ),
        ]
        edges = edges.join(chains, on=["customer", "node"], how="anti", maintain_order="left")
    return edges, pl.concat(refused)


def _profiles(edges: pl.DataFrame) -> pl.DataFrame:
    """id_type, id, customer_id, link, linked_to of every customer and visitor id that a link joins to an older account, on
    a shortest path from the profile's own id."""
    customers = edges.select("customer", "customer_id").unique().sort("customer")
    component = _components(edges)[customers["customer"].to_numpy()]
    # Customers are numbered by age: the first of a component is its oldest.
    _, first, member_of = np.unique(component, return_index=True, return_inverse=True)
    before = pl.Series(_paths(edges, customers["customer"].gather(first)))
    customers = customers.with_columns(profile=pl.col("customer_id").gather(first[member_of]))

    steps = edges.join(customers, on=["customer", "customer_id"]).with_columns(
        before=before.gather(edges["customer"]), nearer=before.gather(edges["node"])
    )
    back = steps.select(nearer="customer", node="node", linked_to="customer_id", other="kind")
    accounts = (
        steps.filter(pl.col("before") == pl.col("node"))
        .join(back, on=["nearer", "node"])
        .select(
            pl.lit(CUSTOMER).alias("id_type"),
            pl.col("customer_id").alias("id"),
            pl.col("profile").alias("customer_id"),
            # Either side may have it from raw.identities alone.
            pl.min_horizontal("kind", "other").cast(pl.String).alias("link"),
            "linked_to",
        )
    )
    visitors = steps.filter((pl.col("nearer") == pl.col("customer")) & (pl.col("address_type") == VISITOR)).select(
        pl.lit(VISITOR).alias("id_type"),
        pl.col("address").alias("id"),
        pl.col("profile").alias("customer_id"),
        pl.col("kind").cast(pl.String).alias("link"),
        pl.col("customer_id").alias("linked_to"),
    )
    return pl.concat([accounts, visitors])


def _components(edges: pl.DataFrame) -> np.ndarray:
    """The number of each node's connected component."""
    from scipy.sparse.csgraph import connected_components

    return connected_components(_matrix(edges["customer"], edges["node"]), directed=False)[1]


def _paths(edges: pl.DataFrame, roots: pl.Series) -> np.ndarray:
    """The node before each node on a shortest path from the root of its component, the lowest of several."""
    from scipy.sparse.csgraph import breadth_first_order

    # One more node, before all roots, so that one search reaches every component.
    start = pl.select(pl.repeat(_nodes(edges["node"]), roots.len(), dtype=roots.dtype)).to_series()
    graph = _matrix(pl.concat([edges["customer"], roots]), pl.concat([edges["node"], start]))
    return breadth_first_order(graph, graph.shape[0] - 1, directed=False)[1]


def _matrix(one: pl.Series, other: pl.Series) -> "csr_array":
    from scipy.sparse import csr_array

    n = _nodes(other)
    return csr_array((np.ones(one.len(), dtype=np.int8), (one.to_numpy(), other.to_numpy())), shape=(n, n))


def _nodes(numbers: pl.Series) -> int:
    return int(numbers.to_numpy().max(initial=0)) + 1


def _rows(
    seen: pl.DataFrame, linked: pl.DataFrame, refused: pl.DataFrame, shop_id: str, as_of: dt.date
) -> pl.DataFrame:
    """The map of all ids: those linked, those that stand alone, and those of nobody."""
    customers = (
        seen.filter(id_type=CUSTOMER)
        .select("id_type", "id")
        .join(linked, on=["id_type", "id"], how="left")
        .with_columns(pl.col("customer_id").fill_null(pl.col("id")), pl.col("link").fill_null("self"))
    )
    visits = seen.filter(id_type=VISITOR).join(
        pl.concat([linked, refused], how="diagonal"), on=["id_type", "id"], how="anti"
    )
    signed_in = (
        visits.join(customers.select(customer_id="id", profile="customer_id"), on="customer_id")
        .group_by("id_type", "id")
        .agg(
            customer_id=pl.col("profile").min(),
            linked_to=pl.col("customer_id").min(),
            profiles=pl.col("profile").n_unique(),
        )
    )
    alone = pl.col("profiles") == 1
    shared = pl.format("{} profiles signed in under it", "profiles")
    visitors = pl.concat(
        [
            linked.filter(id_type=VISITOR),
            refused.filter(id_type=VISITOR).join(linked, on=["id_type", "id"], how="anti").select("id_type", "id"),
            signed_in.filter(alone).select("id_type", "id", "customer_id", pl.lit(VISITOR).alias("link"), "linked_to"),
            signed_in.filter(~alone).select("id_type", "id"),
        ],
        how="diagonal",
    )
    refused = pl.concat([refused, signed_in.filter(~alone).select("id_type", "id", refused=shared)])
    ids = pl.concat([customers, visitors.select(customers.columns)])
    sizes = ids.drop_nulls("customer_id").group_by("customer_id").agg(n_ids=pl.len().cast(pl.Int64))
    return (
        ids.join(sizes, on="customer_id", how="left")
        .join(refused, on=["id_type", "id"], how="left")
        .with_columns(pl.lit(shop_id).alias("shop_id"), pl.lit(as_of).alias("as_of"), pl.col("n_ids").fill_null(0))
        .with_columns(_reason().alias("reason"))
        .select(list(IdentityMap.columns))
        .sort("id_type", "id")
    )


def _reason() -> pl.Expr:
    link, other = pl.col("link"), pl.col("linked_to")
    put = (
        pl.when(link.is_null()).then(pl.lit("Of nobody"))
        .when((link == "self") & (pl.col("n_ids") == 1)).then(pl.lit("Stands alone"))
        .when(link == "self").then(pl.format("The oldest account of {} ids", "n_ids"))
        .when(link == "identities").then(pl.format("raw.identities puts it with {}", other))
        .when(link == VISITOR).then(pl.format("{} was signed in under it", other))
        .otherwise(pl.format("Same {} as {}", link.replace(ADDRESSES), other))
    )  # fmt: skip
    return pl.concat_str(put, pl.format("; not linked: {}", "refused").fill_null(""), pl.lit("."))
