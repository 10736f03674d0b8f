"""How a shop's own export becomes the raw tables."""

from typing import Annotated, Literal

from pydantic import Field

from lifecycle_assets.settings.base import Group, Share, TimeZone


class LeaveOut(Group):
    """Rows that are not what the table is about (fuel lines, bank charges): left out, counted, never an error."""

    column: str
    values: tuple[str, ...] = Field(min_length=1)
    reason: str


class TableMapping(Group):
    """How one raw table is found and read in the shop's own export."""

    file: str | None = Field(None, description="file, folder or database table; default: the raw table's name")
    columns: dict[str, str] = Field({}, description="the export's column -> the contract's column")
    values: dict[str, dict[str, str | None]] = Field({}, description="contract column -> {the export's value: ours}")
    constants: dict[str, str | float | bool] = Field({}, description="contract column -> value for every row")
    leave_out: tuple[LeaveOut, ...] = Field((), description="rows to leave out; replaces those of the ready mapping")
    timezone: TimeZone | None = Field(None, description="zone of naive timestamps; default: the shop's")
    decimal: Literal[".", ",", "auto"] = "auto"
    day_first: bool | None = Field(None, description="03/04 is 3 April; default: told from the values")


class InputMapping(Group):
    """A ready mapping, and corrections on top of it, table by table."""

    preset: str | None = Field(None, description="canonical, complete_journey, online_retail, shopify or woocommerce")
    tables: dict[str, TableMapping] = Field({}, description="raw table -> how it is found and read")


class Inputs(Group):
    quarantine_limit: Share = Field(0.05, description="share of rows breaking the contract above which the asset fails")
    stable_seconds: Annotated[int, Field(ge=0)] = Field(60, description="an input is complete once unchanged this long")
