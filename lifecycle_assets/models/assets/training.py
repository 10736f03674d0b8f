"""Training and scoring apart: what every evaluation asset and every scoring asset does with the model store.

An evaluation asset trains where a training is due and otherwise repeats the stored rows, so that a night run again is the
same to the byte. A scoring asset reads the evaluation, which makes it run afterwards, and takes the model in force. Both
need the resource `model_store`.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import dagster as dg
import polars as pl
from pydantic import BaseModel

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.markdown import markdown
from lifecycle_assets.models.champion import (
    TAKEN,
    Champion,
    Takeover,
    has_learnt_from,
    headline,
    is_due,
    takeover,
    takeover_on_same_rows,
)
from lifecycle_assets.models.classifier import Classifier, Trained
from lifecycle_assets.models.races import made_by, stamped, standing
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import asset_key

STORE = "model_store"
LEARNT = "learnt.parquet"
# The groups of a shop's settings that say what is learnt and how.
LEARNT_BY = {"scores", "customer", "products", "timezone", "seed"}
DOUBTED = (
    "Nor was it, in that newest test, shown to be better than chance and than the simple rule: the scores are not used."
)
SHOWN = ["target", "candidate", "split", "chosen", "is_used", "roc_auc", "roc_auc_lo", "roc_auc_hi", "note"]


def trained(
    context: dg.AssetExecutionContext,
    contract: Contract,
    name: str,
    make: Callable[[], Trained],
    features: Sequence[str] = (),
) -> pl.DataFrame:
    """The rows of an evaluation table: those of the model in force tonight, after training one where that is due.

    `make` trains; otherwise it is not called. `features` are the columns that the model is made of: a release that changes
    them trains anew. Where nothing can be learnt there is no model, and the attempt is repeated when a training is due, or
    every night while the history is too short for all snapshots and there has been no other model.
    """
    night, store = night_of(context), context.resources.model_store
    made_by = _fingerprint(night, features)
    latest = store.latest(night.shop, name, night.as_of)
    champion = store.champion(night.shop, name, night.as_of)
    if (
        latest is None
        or (champion is None and latest.card["candidate"] is not None)
        or latest.card["made_by"] != made_by
        or is_due(latest.trained_as_of, night.as_of, night.settings.retrain_days(night.settings.scores.retrain_days))
    ):
        challenger = make()
        evaluation = challenger.evaluation.with_columns(trained_as_of=pl.lit(night.as_of))
        rival = champion if champion and champion.card["made_by"] == made_by else None
        is_attempt = challenger.model is None and (champion is None or bool(rival and rival.files))
        if is_attempt and len(challenger.card["audit"]["snapshots"]) < night.settings.scores.snapshots:
            rows = rival.evaluation if rival else evaluation
            return _shown(context, name, _rows(contract, night, rows, challenger.note if rival else ""))
        if is_attempt:
            verdict = Takeover(takes_over=False, note=challenger.note)
        else:
            verdict = _verdict(challenger, evaluation, rival, night.as_of) if rival else TAKEN
        store.put(
            night.shop,
            name,
            night.as_of,
            files=challenger.model.files() if challenger.model else {},
            card={
                "made_by": made_by,
                "not_taken": verdict.note,
                "is_usable": challenger.is_usable,
                **challenger.card,
            },
            evaluation=evaluation,
            takes_over=verdict.takes_over,
        )
        latest = store.latest(night.shop, name, night.as_of)
        champion = store.champion(night.shop, name, night.as_of)
    if champion is None:
        return _shown(context, name, _rows(contract, night, store.load(latest).evaluation))
    refused = latest.card["not_taken"]
    # What nothing was learnt from has tested nothing either.
    doubted = bool(refused) and latest.card["candidate"] is not None and not latest.card["is_usable"]
    note = f"{refused} {DOUBTED}" if doubted else refused
    return _shown(context, name, _rows(contract, night, champion.evaluation, note, doubted=doubted))


def last_race(context: Any, contract: Contract, settings: BaseModel) -> pl.DataFrame | None:
    """The rows of the last race as tonight's, while they stand. Needs the resource `lake`."""
    night = night_of(context)
    the_day_after = night.as_of + dt.timedelta(days=1)
    last = context.resources.lake.scan_before(contract, night.shop, the_day_after)
    days = night.settings.retrain_days(night.settings.scores.retrain_days)
    return standing(last, night.as_of, days, made_by(settings, night.settings.seed))


def raced_tonight(context: Any, rows: pl.DataFrame, settings: BaseModel) -> pl.DataFrame:
    """The rows of a race that was just run."""
    night = night_of(context)
    return stamped(rows, night.as_of, made_by(settings, night.settings.seed))


def learnt(
    context: Any, name: str, candidate: str, settings: BaseModel, make: Callable[[], pl.DataFrame]
) -> pl.DataFrame:
    """What the model in force consists of, as rows: of tonight's training where one is due, else of the last one.

    `make` learns; no rows are nothing learnt, and it is tried again every night. Needs the resource `model_store`.
    """
    night, store = night_of(context), context.resources.model_store
    by = made_by(settings, night.settings.seed)
    latest = store.latest(night.shop, name, night.as_of)
    champion = store.champion(night.shop, name, night.as_of)
    days = night.settings.retrain_days(night.settings.scores.retrain_days)
    if champion is not None and latest.card["made_by"] == by and not is_due(latest.trained_as_of, night.as_of, days):
        return pl.read_parquet(BytesIO(champion.files[LEARNT]))
    rows = make()
    if not rows.is_empty():
        parquet = BytesIO()
        rows.write_parquet(parquet)
        card = {"made_by": by, "candidate": candidate}
        store.put(
            night.shop, name, night.as_of, files={LEARNT: parquet.getvalue()}, card=card, evaluation=pl.DataFrame()
        )
    return rows


def in_force(context: Any, name: str, evaluation: pl.LazyFrame) -> Champion:
    """The model that makes tonight's scores and what each of them says about it; `evaluation` is its evaluation table."""
    night = night_of(context)
    stored = context.resources.model_store.champion(night.shop, name, night.as_of)
    told = headline(evaluation.collect())
    if stored is None:
        return Champion(None, None, None, is_used=False, note=told.get("note") or "")
    model = Classifier.load(stored.files) if stored.files else None
    return Champion(
        model, stored.version, stored.trained_as_of, is_used=bool(told.get("is_used")), note=told.get("note") or ""
    )


def audit_check(contract: Contract, *names: str) -> dg.AssetChecksDefinition:
    """The check of an evaluation table that the models in force learnt from nothing that came after; see score_training."""

    @dg.asset_check(
        asset=asset_key(contract),
        name="no_leaks",
        description="The newest dated event behind each snapshot's features (purchase, subscription or plan; where the model "
        "uses them: web event, message sent or answered, ticket, failed payment, survey answer) is not later than the "
        "snapshot; no label window begins before its snapshot ends, overlaps another or ends after as_of; no customer is in "
        "two folds. Returns, and what bears no date, are not looked at. A warning: a feature that alone tells the answer, and "
        "a snapshot without any such date, which is not checked.",
        blocking=True,
        required_resource_keys={STORE, "nights"},
    )
    def no_leaks(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        night, store = night_of(context), context.resources.model_store
        champions = {name: store.champion(night.shop, name, night.as_of) for name in names}
        audits = {name: stored.card["audit"] for name, stored in champions.items() if stored}
        problems = [f"{name}: {problem}" for name, found in audits.items() for problem in found["problems"]]
        suspected = [
            f"{name}: {feature} alone tells the answer (AUC {area})"
            for name, found in audits.items()
            for feature, area in found["suspected"].items()
        ]
        snapshots = [{"model": name, **row} for name, found in audits.items() for row in found["snapshots"]]
        undated = [
            f"{row['model']}: snapshot {row['snapshot']} is not checked: no event behind its features bears a date"
            for row in snapshots
            if row["newest_event"] is None
        ]
        untaught = [f"{name}: not checked, there is no model" for name in names if name not in audits]
        return dg.AssetCheckResult(
            passed=not (problems or suspected or undated),
            severity=dg.AssetCheckSeverity.ERROR if problems else dg.AssetCheckSeverity.WARN,
            description="; ".join([*problems, *suspected, *undated, *untaught]) or None,
            metadata={"snapshots": dg.MetadataValue.md(markdown(pl.DataFrame(snapshots)))},
        )

    return no_leaks


def _fingerprint(night: Night, features: Sequence[str]) -> str:
    settings = night.settings.model_dump(mode="json", include=LEARNT_BY)
    del settings["scores"]["retrain_days"]  # says when, not what
    return hashlib.sha256(json.dumps([settings, list(features)], sort_keys=True).encode()).hexdigest()


def _verdict(challenger: Trained, evaluation: pl.DataFrame, rival: Any, as_of: dt.date) -> Takeover:
    """Whether the challenger takes over from `rival`, a stored model made by the same settings and features."""
    tested = challenger.tested
    if tested is None or not rival.files or has_learnt_from(rival.trained_as_of, challenger.card["audit"]["snapshots"]):
        return takeover(evaluation, rival.evaluation)
    try:
        champion = Classifier.load(rival.files)
    except LifecycleError:
        return TAKEN  # What cannot be read cannot score either.
    return takeover_on_same_rows(tested, champion, as_of)


def _rows(
    contract: Contract, night: Night, evaluation: pl.DataFrame, note: str = "", *, doubted: bool = False
) -> pl.DataFrame:
    """The evaluation as tonight's table; `note` goes to what speaks for the chosen candidate. Where it is `doubted`, nothing
    is used."""
    told = pl.concat_str("note", pl.lit(note or None, dtype=pl.String), separator=" ", ignore_nulls=True).replace(
        "", None
    )
    return (
        contract.conform(
            evaluation.lazy().with_columns(
                shop_id=pl.lit(night.shop),
                as_of=pl.lit(night.as_of),
                note=pl.when("chosen").then(told).otherwise("note"),
                is_used=pl.when("is_used").then(pl.lit(not doubted)).otherwise("is_used"),
            )
        )
        .sort(contract.primary_key)
        .collect()
    )


def _shown(context: dg.AssetExecutionContext, name: str, rows: pl.DataFrame) -> pl.DataFrame:
    context.add_output_metadata({name: dg.MetadataValue.md(markdown(rows.select(SHOWN), longest=200))})
    return rows
