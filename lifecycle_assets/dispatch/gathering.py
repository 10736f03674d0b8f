"""The tables that decisions read, brought from their names into the form in which they are read.

The night and whoever looks at its decisions again (explain) gather them the same way.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch import knowledge as models
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.contact import Contacts
from lifecycle_assets.dispatch.knowledge import Knowledge
from lifecycle_assets.dispatch.profile import Sources
from lifecycle_assets.dispatch.triggers import Triggers
from lifecycle_assets.features.clv_inputs import CustomerClvInputs
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.loyalty import CustomerLoyalty
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs.contracts import (
    Consents,
    Customers,
    Engagement,
    ErasureRequests,
    Identities,
    SupportTickets,
    Suppressions,
)
from lifecycle_assets.models.cadence_posteriors import CadencePosteriors
from lifecycle_assets.models.churn_risk import ChurnRisk
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.propensity_buy import PropensityBuy
from lifecycle_assets.models.propensity_upgrade import PropensityUpgrade
from lifecycle_assets.models.recommendations import UserRecommendations
from lifecycle_assets.models.uplift_evaluation import UpliftEvaluation
from lifecycle_assets.models.uplift_scores import UpliftScores
from lifecycle_assets.models.upsell import UpsellSuggestions

FEATURES = (CustomerFeatures, LifecycleStage, CustomerRfm, CustomerLoyalty)
CONTACTS = (Customers, Consents, Suppressions, ErasureRequests, Engagement, Identities, IdentityMap)
# What rules may ask besides the features: see model_fields.
KNOWN = (
    CustomerClvInputs,
    ClvForecast,
    ChurnRisk,
    PropensityBuy,
    PropensityUpgrade,
    UpsellSuggestions,
    UserRecommendations,
    CadencePosteriors,
    UpliftEvaluation,
    UpliftScores,
    Triggers,
)
PROFILE: tuple[Contract, ...] = (*FEATURES, *CONTACTS, SupportTickets, Assignments, *KNOWN)
READS: tuple[Contract, ...] = tuple({c.name: c for c in (*PROFILE, *models.READS)}.values())

# The tables of READS by their name without the area.
Tables = Mapping[str, pl.LazyFrame]


def sources(tables: Tables, sent: pl.LazyFrame, undone: pl.LazyFrame) -> Sources:
    """What profiles are made of; `sent` and `undone` are lines of the ledger (see ledger.heard and ledger.undone)."""
    return Sources(
        **_named(tables, (*FEATURES, SupportTickets, Assignments)),
        contacts=Contacts(**_named(tables, CONTACTS)),
        sent=sent,
        undone=undone,
        known={contract.name: tables[contract.table] for contract in KNOWN},
    )


def knowledge(tables: Tables) -> Knowledge:
    """What the models know."""
    return Knowledge(**_named(tables, models.READS))


def _named(tables: Tables, contracts: Iterable[Contract]) -> dict[str, Any]:
    return {contract.table: tables[contract.table] for contract in contracts}
