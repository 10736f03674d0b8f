"""Erasure in Dagster: the job that erases a customer, and the asset that carries out the night's requests.

Nothing here computes: what is a person's is told by dispatch.erasure, and files are the erasing resource's.
"""

import datetime as dt

import dagster as dg
import polars as pl
from pydantic import Field

from lifecycle_assets.dispatch.erasure import Erasures
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.inputs.contracts import ErasureRequests
from lifecycle_assets.jobs import no_night_beside
from lifecycle_assets.night import night_of
from lifecycle_assets.settings import as_of_default
from lifecycle_assets.staged import Appended
from lifecycle_assets.wiring import table_asset


class Erase(dg.Config):
    shop: str = Field(description="the shop")
    customer: str = Field(
        description="the customer's id, of any of their accounts; it is not kept in this run's record"
    )
    actor: str = Field(default="Dagster", description="who has it done; the proof keeps the name")


@dg.op(required_resource_keys={"nights", "lake", "erasing"})
def erase(context: dg.OpExecutionContext, config: Erase) -> str:
    """Remove a customer, with all accounts of the same profile, from every file of the home."""
    erasing = context.resources.erasing
    try:
        settings = context.resources.nights.home.shop(config.shop)
        with context.resources.lake.lock(config.shop, "run"):
            no_night_beside(context.instance, config.shop)
            now = dt.datetime.now(dt.UTC)
            lists = erasing.lists_holding(config.shop, config.customer)
            is_known = erasing.begin(
                config.shop, [config.customer], as_of_default(settings, now), now, actor=config.actor
            )
            done = erasing.finish(config.shop, now)
    finally:
        # Whatever became of it, the run's record holds the id.
        erasing.forget_request(config.customer)
    if not is_known:
        raise LifecycleError(f"{config.shop}: no table knows this customer; nothing was changed")
    said = _told(config.shop, done)
    if lists:
        said += f"; still in {', '.join(lists)}: no removal was written, take the person out at the advertising tool"
    context.log.info(said)
    return said


@dg.job(description="Remove a person from every file of the home; only a proof without personal data stays.")
def erase_customer() -> None:
    erase()


def nightly_erasures(assets: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset at the very end of a night: who asked to be forgotten is. What a killed run left undone is finished too."""

    @dg.asset(**table_asset(Erasures, "polars", resources=("lake", "erasing")), deps=assets)
    def erasures(context: dg.AssetExecutionContext) -> Appended:
        night = night_of(context)
        erasing = context.resources.erasing
        asked = context.resources.lake.scan(ErasureRequests, night.shop).collect()
        if asked.height:
            customers, first = asked["customer_id"].to_list(), asked["requested_at"].min()
            erasing.begin(night.shop, customers, night.as_of, night.started_at, actor="nightly run", requested_at=first)
        done = erasing.finish(night.shop, night.started_at)
        context.add_output_metadata({"erased": _told(night.shop, done)})
        return Appended(done.height)

    return erasures


def _told(shop: str, done: pl.DataFrame) -> str:
    people, files = done["people"].sum(), done["files_rewritten"].sum()
    return f"{shop}: {people} people erased, {files} files rewritten; dispatch.erasures has the proof"
