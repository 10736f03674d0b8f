"""Which ids of one person become one profile."""

from typing import Annotated, Literal

from pydantic import Field

from lifecycle_assets.settings.base import Group

LinkKind = Literal["identities", "email", "phone"]

PLACEHOLDERS = (
    "anonymous", "donotreply", "guest", "n.a", "na", "no-email", "no-reply", "nobody", "noemail", "nomail", "none",
    "noreply", "test", "unknown",
)  # fmt: skip


class HubLimits(Group):
    """How many customers an address or visitor id may have and still link them."""

    # A guest may get a new customer id at every checkout: one e-mail address of many ids is mostly one person's.
    email: Annotated[int, Field(ge=1)] = Field(
        50, description="an e-mail address of more customers than this links nobody"
    )
    phone: Annotated[int, Field(ge=1)] = Field(
        5, description="a telephone number of more customers than this links nobody"
    )
    anonymous_id: Annotated[int, Field(ge=1)] = Field(
        5, description="a visitor id of more customers than this links nobody"
    )


class Identity(Group):
    link_by: tuple[LinkKind, ...] = Field(
        ("identities", "email", "phone"),
        description="what merges accounts: rows of identities, equal e-mail addresses, equal telephone numbers",
    )
    hub_limits: HubLimits = HubLimits()
    placeholders: tuple[str, ...] = Field(
        PLACEHOLDERS, description="e-mail addresses, or what stands before their @, that are nobody's and link nobody"
    )
    max_merged: Annotated[int, Field(ge=1)] = Field(
        100, description="a profile has at most this many customer ids; longer chains lose their weakest links first"
    )
