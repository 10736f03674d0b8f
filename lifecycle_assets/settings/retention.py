"""How long a shop's past is kept. What later nights still read is kept however old it is: see dispatch.retention."""

from typing import Annotated

from pydantic import Field

from lifecycle_assets.settings.base import Group

Kept = Annotated[int, Field(ge=30)]


class Retention(Group):
    ledger_days: Kept = Field(365, description="days for which every line of the ledger is kept")
    dispatch_days: Kept = Field(
        365, description="days for which the folders of batches and dispatch's dated slices are kept"
    )
    features_days: Kept | None = Field(
        None, description="days for which dated slices of features are kept; default: all"
    )
    models_days: Kept | None = Field(None, description="days for which dated slices of models are kept; default: all")
    snapshots: Annotated[int, Field(ge=1)] = Field(7, description="snapshots of nights that are kept, the latest ones")
