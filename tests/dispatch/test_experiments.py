"""An experiment begins anew when its arms are drawn anew, and only then; what the ledger has lost stays lost."""

import datetime as dt

import polars as pl
import pytest
from dispatch_world import AS_OF, SHOP_FILE

from lifecycle_assets.dispatch.experiments import Experiments, experiments
from lifecycle_assets.settings import Shop, parse

BEFORE = AS_OF - dt.timedelta(days=1)


def _night(settings: str, before: pl.DataFrame | None, as_of: dt.date = AS_OF) -> pl.DataFrame:
    shop = parse(Shop, SHOP_FILE.split("routing:")[0].split("dispatch:")[0] + settings, "lupe")
    made = experiments(shop, None if before is None else before.lazy(), shop_id="lupe", as_of=as_of)
    Experiments.require(made)
    return made


def _since(made: pl.DataFrame, name: str = "winback") -> dt.date | None:
    since: dt.date | None = made.row(by_predicate=pl.col("experiment") == name, named=True)["since"]
    return since


@pytest.mark.parametrize(
    "change",
    [
        "measurement: {experiments: {winback: {salt: other}}}",
        "measurement: {experiments: {winback: {holdout_share: 0.3}}}",
        "measurement: {experiments: {winback: {variants: {a: 0.5, b: 0.5}}}}",
        "measurement: {experiments: {winback: {layer: one, traffic: [0, 0.5]}}}",
        "routing: {programmes: {welcome: {experiment: winback}}}",
    ],
)
def test_what_changes_the_arms_or_whose_they_are_begins_the_experiment_anew(change: str) -> None:
    first = _night("", None, BEFORE)
    assert first["since"].null_count() == first.height
    changed = _night(change, first)
    assert _since(changed) == AS_OF
    assert _since(changed, "upgrade") is None
    later = _night(change, changed, AS_OF + dt.timedelta(days=1))
    assert _since(later) == AS_OF
    assert later["drawn_by"].to_list() == changed["drawn_by"].to_list()


def test_one_that_is_new_begins_and_other_settings_change_nothing() -> None:
    first = _night("", None, BEFORE)
    made = _night("measurement: {worth_detecting: 0.1, experiments: {more: {}}}", first)
    assert _since(made, "more") == AS_OF
    assert _since(made) is None


def test_lines_that_have_gone_are_not_there_again_when_the_settings_keep_more() -> None:
    first = _night("", None, BEFORE)
    since = first["messages_since"].unique().item()
    assert 350 < (BEFORE - since).days < 400
    keeping = _night("retention: {ledger_days: 2000}", first)
    assert keeping["messages_since"].unique().item() == since
    assert _night("", first)["messages_since"].unique().item() == since + dt.timedelta(days=1)
