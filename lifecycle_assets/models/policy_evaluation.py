"""Would another ranking profile have earned more than the one in force?

Each ranking profile is valued on the decisions of models.policy_log by inverse propensity scores, the self-normalised estimate
and the doubly robust one (see off_policy), and compared with the profile in force on the same decisions.

A profile takes over when the lower end of its gain is above 0. That end holds over all nights and all pairs of profiles
together at 95 %, since it is looked at every night and the first success decides: an interval for one look would promote equal
profiles in a large part of the shops sooner or later. At most one takes over a night, the one with the highest lower end.
Before there is evidence nothing changes: the effective number of decisions, and the number of decisions on which the two
profiles come to different arms, must each reach 1 000. Where few decisions differ, the rare order that would
decide may not have been seen yet, and no interval can know it.

The profile in force is last night's, or the configured one (`routing.ranking`) when the operator chose another since, or
changed or removed the one in force. A profile whose exponents change begins anew, from the next night's decisions on. Decisions
on which it might have taken an arm that had no chance are left out. Without logged decisions all stays as configured.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, number, shop_key, table, text
from lifecycle_assets.models import off_policy
from lifecycle_assets.models.off_policy import ENOUGH, Logged
from lifecycle_assets.settings import Routing

VERDICTS = ["in force", "promoted", "stays out", "not enough evidence"]
CLIPS = (2, 5, 10, 20)
NUMBERS = ("reward", "expected_taken", "expected", "weight")
NOTHING = "No logged decision with a settled outcome."


@table("models.policy_evaluation", history=True, needs=("raw.engagement",))
class PolicyEvaluation(dy.Schema):
    """Each ranking profile on the decisions that were logged: what it would have earned per decision, from logged
    probabilities."""

    shop_id = shop_key()
    as_of = as_of_column()
    policy = key("The ranking profile.")
    is_in_force = flag("Tonight's decisions follow it.")
    is_configured = flag("It is the one that the shop's settings name.")
    definition = text("JSON: the profile's settings; when they change its evidence begins anew.", nullable=False)
    since = date("Decisions of this night and later are its evidence.")
    n_decisions = count("Logged decisions with a settled outcome.", "decisions")
    n_customers = count("Customers they are of.", "customers")
    n_unsupported = count("Decisions left out: an arm that it might have taken had no chance.", "decisions")
    effective_size = number(
        "Effective number of decisions behind the estimate: (sum w)^2 / sum w^2.", "decisions", minimum=0
    )
    disagreeing = number(
        "Decisions on which it and the profile in force before tonight come to different arms: the sum of the total "
        "variation distances of their probabilities, estimated from the weights.",
        "decisions",
        minimum=0,
    )
    value_logged = number("What the decisions taken earned, mean per decision.", "currency", nullable=True)
    ips = number("Inverse propensity score estimate of the profile's value per decision.", "currency", nullable=True)
    ips_lo = number("Lower end of its 95 % interval.", "currency", nullable=True)
    ips_hi = number("Upper end of its 95 % interval.", "currency", nullable=True)
    snips = number("Self-normalised estimate.", "currency", nullable=True)
    snips_lo = number("Lower end of its 95 % interval.", "currency", nullable=True)
    snips_hi = number("Upper end of its 95 % interval.", "currency", nullable=True)
    dr = number("Doubly robust estimate.", "currency", nullable=True)
    dr_lo = number("Lower end of its 95 % interval.", "currency", nullable=True)
    dr_hi = number("Upper end of its 95 % interval.", "currency", nullable=True)
    gain = number(
        "Doubly robust estimate of its value less that of the profile in force before tonight.",
        "currency",
        nullable=True,
    )
    gain_lo = number(
        "Lower end of its interval, which holds at 95 % over all nights and pairs of profiles together.",
        "currency",
        nullable=True,
    )
    gain_hi = number("Upper end of that interval.", "currency", nullable=True)
    clipping = text("JSON: the doubly robust estimate with weights clipped at 2, 5, 10 and 20.")
    verdict = text("What follows.", nullable=False, values=VERDICTS)
    note = text("Why.")


@dataclass(frozen=True)
class Standing:
    """What is known of the profiles before tonight's evidence."""

    in_force: str
    since: Mapping[str, dt.date]


def policy_evaluation(
    log: pl.LazyFrame, before: pl.DataFrame | None, *, routing: Routing, shop_id: str, as_of: dt.date
) -> pl.DataFrame:
    """One row of `PolicyEvaluation` per ranking profile of the settings, sorted by it.

    `log` is the whole of models.policy_log with customers as they are resolved tonight, `before` the slice of this table
    of the night before, None on the first.
    """
    standing = _standing(before, routing, as_of)
    logged = _logged(log, standing.since)
    pairs = len(logged) * (len(logged) - 1) // 2
    base = logged[standing.in_force]
    rows = {
        name: {
            "shop_id": shop_id,
            "as_of": as_of,
            "policy": name,
            "is_configured": name == routing.ranking,
            "definition": _definition(routing, name),
            "since": standing.since[name],
            **_valued(decisions),
            **({} if name == standing.in_force else _compared(decisions, base, pairs)),
        }
        for name, decisions in logged.items()
    }
    better = {name: row["gain_lo"] for name, row in rows.items() if name != standing.in_force and _is_better(row)}
    promoted = max(better, key=better.__getitem__) if better else None
    told = [{**row, **_verdict(row, standing.in_force, promoted)} for row in rows.values()]
    return pl.DataFrame(told, schema=PolicyEvaluation.polars_schema)


def _standing(before: pl.DataFrame | None, routing: Routing, as_of: dt.date) -> Standing:
    rows = {} if before is None else {row["policy"]: row for row in before.iter_rows(named=True)}
    unchanged = {
        name for name in routing.rankings if name in rows and rows[name]["definition"] == _definition(routing, name)
    }
    since = {name: rows[name]["since"] if name in unchanged else as_of for name in routing.rankings}
    configured = {name for name, row in rows.items() if row["is_configured"]}
    proven = [name for name in unchanged if rows[name]["is_in_force"]]
    return Standing(proven[0] if proven and configured == {routing.ranking} else routing.ranking, since)


def _definition(routing: Routing, name: str) -> str:
    return json.dumps(routing.rankings[name].model_dump(), sort_keys=True)


def _logged(log: pl.LazyFrame, since: Mapping[str, dt.date]) -> dict[str, pl.DataFrame]:
    """The decisions that are evidence of each profile, sorted by their ids; `customer` numbers the customers of all."""
    rows = (
        log.select(
            "decision_id",
            "policy",
            "decided_on",
            "is_supported",
            *NUMBERS,
            customer=pl.col("customer_id").rank("dense") - 1,
        )
        .sort("decision_id")
        .collect()
    )
    return {
        name: rows.filter((pl.col("policy") == name) & (pl.col("decided_on") >= since[name])) for name in sorted(since)
    }


def _arrays(rows: pl.DataFrame, suffix: str = "") -> Logged:
    numbers = (rows.get_column(f"{name}{suffix}").to_numpy() for name in NUMBERS)
    return Logged(rows.get_column("customer").cast(pl.Int64).to_numpy(), *numbers)


def _valued(decisions: pl.DataFrame) -> dict[str, Any]:
    """What the profile's own decisions say of it."""
    rows = decisions.filter("is_supported")
    customers = rows.get_column("customer").n_unique()
    found: dict[str, Any] = {
        "n_decisions": rows.height,
        "n_customers": customers,
        "n_unsupported": decisions.height - rows.height,
        "effective_size": off_policy.effective_size(rows.get_column("weight").to_numpy()),
        "disagreeing": 0.0,
        "value_logged": rows.get_column("reward").mean(),
    }
    if customers < 2:
        return found
    log = _arrays(rows)
    estimates = {"ips": off_policy.ips(log), "snips": off_policy.snips(log), "dr": off_policy.doubly_robust(log)}
    for name, estimate in estimates.items():
        if np.isfinite(estimate.value):
            found |= {name: estimate.value, f"{name}_lo": estimate.lo, f"{name}_hi": estimate.hi}
    clipped = {str(clip): round(off_policy.doubly_robust(log, clip).value, 6) for clip in CLIPS}
    return {**found, "clipping": json.dumps(clipped)}


def _compared(rival: pl.DataFrame, base: pl.DataFrame, pairs: int) -> dict[str, float]:
    """The gain over the profile in force, on the decisions on which both are supported."""
    both = rival.filter("is_supported").join(
        base.filter("is_supported"), on="decision_id", suffix="_base", maintain_order="left"
    )
    if both.get_column("customer").n_unique() < 2:
        return {}
    mine, theirs = _arrays(both), _arrays(both, "_base")
    estimate = off_policy.gain(mine, theirs)
    lo, hi = estimate.at_any_time(both.height, pairs)
    disagreeing = float(np.maximum(theirs.weight - mine.weight, 0).sum())
    return {"gain": estimate.value, "gain_lo": lo, "gain_hi": hi, "disagreeing": disagreeing}


def _lacks(row: Mapping[str, Any]) -> str | None:
    """What a rival's evidence falls short of; None when there is enough."""
    left_out = f" {row['n_unsupported']} more with arms that had no chance." if row["n_unsupported"] else ""
    if row.get("gain_lo") is None:
        return NOTHING + left_out
    for name, what in (("effective_size", "effective decisions"), ("disagreeing", "decisions on which the two differ")):
        if row[name] < ENOUGH:
            return f"{row[name]:,.0f} {what}; {ENOUGH:,} are needed.{left_out}"
    return None


def _is_better(row: Mapping[str, Any]) -> bool:
    return _lacks(row) is None and row["gain_lo"] > 0


def _verdict(row: Mapping[str, Any], in_force: str, promoted: str | None) -> dict[str, Any]:
    name = row["policy"]
    told = {"is_in_force": name == (promoted or in_force)}
    if name == in_force and promoted:
        return {**told, "verdict": "stays out", "note": f"{promoted} takes over."}
    if name == in_force:
        return {**told, "verdict": "in force", "note": None if row["n_decisions"] else NOTHING}
    if (lacking := _lacks(row)) is not None:
        return {**told, "verdict": "not enough evidence", "note": lacking}
    earns = (
        "{gain:+.4f} per decision against {base} ({gain_lo:+.4f} to {gain_hi:+.4f} at 95 % over all nights).".format(
            base=in_force, **row
        )
    )
    if name == promoted:
        return {**told, "verdict": "promoted", "note": earns}
    return {**told, "verdict": "stays out", "note": earns}
