"""Whom advertising tools may know of."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from lifecycle_assets.settings.base import Group, Name, nearest
from lifecycle_assets.settings.rules import Rule, rule_problems


class Audience(Group):
    """A list of people at an advertising tool: to show them advertisements, to leave them out, or to find others like them.
    It is kept up to date every night while the channel `ads` is enabled."""

    enabled: bool = True
    who: Rule = Field(description="who belongs to it; consent for `ads` is asked for besides")
    destination: Literal["meta", "google", "tiktok"] = "meta"
    account_id: str | None = Field(None, min_length=1, description="the advertiser's account; tiktok needs it")
    list_id: str | None = Field(None, min_length=1, description="the list's id at the destination; tiktok needs it")
    value: Name | None = Field(
        None, description="profile field that says what a person is worth, e.g. clv_12m, for bids; meta only"
    )
    min_size: Annotated[int, Field(ge=1)] = Field(
        100, description="with fewer people nothing is exported, and who was exported before is taken out"
    )
    experiment: Name = Field("ads", description="the experiment whose holdout stays out of it")

    def problems(self, fields: Mapping[str, str], experiments: Mapping[str, object]) -> Iterator[str]:
        """What is wrong with it, given the kind of every profile field and the experiments that there are."""
        yield from rule_problems(self.who, fields, "who")
        if self.value is not None:
            if self.value not in fields:
                yield f"value: no profile field '{self.value}'{nearest(self.value, fields)}"
            elif fields[self.value] != "number":
                yield f"value: {self.value} is a {fields[self.value]}, and a value is a number"
            if self.destination != "meta":
                yield f"value: {self.destination} takes none"
        if self.destination == "tiktok" and not (self.account_id and self.list_id):
            yield "tiktok needs account_id and list_id"
        if self.experiment not in experiments:
            yield f"no experiment '{self.experiment}'{nearest(self.experiment, experiments)}"
