"""How the effect of campaigns on each customer is learnt."""

from typing import Annotated

from pydantic import Field

from lifecycle_assets.settings.base import Group

Contamination = Annotated[float, Field(ge=0, le=0.9)]


class Uplift(Group):
    min_rows: Annotated[int, Field(ge=1)] = Field(200, description="assigned customers that a campaign needs")
    window_days: Annotated[int, Field(ge=1)] = Field(
        365, description="campaigns that assigned anybody within this many days are evaluated"
    )
    contaminated_share: dict[str, Contamination] = Field(
        {},
        description="by campaign_id: share of the controls who were reached all the same, besides those who are marked",
    )
