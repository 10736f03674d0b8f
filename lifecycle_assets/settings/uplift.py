"""How the effect of campaigns on each customer is learnt."""

from typing import Annotated

from pydantic import Field

from lifecycle_assets.settings.base import Group


class Uplift(Group):
    min_rows: Annotated[int, Field(ge=1)] = Field(200, description="assigned customers that a campaign needs")
