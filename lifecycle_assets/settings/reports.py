"""Which reports are written, and for whom."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle_assets.settings.base import Group
from lifecycle_assets.settings.routing import WritingModel

ReportLanguage = Literal["en", "es", "pt"]
LEAST_SALT = 16


class Reports(Group):
    writer: WritingModel | None = Field(
        None, description="a language model that may word sentences anew, never change a number; off by default"
    )
    languages: Annotated[tuple[ReportLanguage, ...], Field(min_length=1)] = Field(
        ("en", "es", "pt"), description="languages in which every report is written"
    )
    segmentation_payload: bool = Field(
        default=False, description="whether the segmentation report's JSON holds the customers, with hashed ids"
    )
    segmentation_payload_salt: str = Field(
        "", description="secret that the ids are hashed with; at least 16 letters when segmentation_payload is on"
    )

    @model_validator(mode="after")
    def _salted(self) -> "Reports":
        if self.segmentation_payload and len(self.segmentation_payload_salt) < LEAST_SALT:
            raise ValueError(
                f"reports: segmentation_payload needs a segmentation_payload_salt of at least {LEAST_SALT} letters: "
                "without it the ids could be found by trying"
            )
        return self
