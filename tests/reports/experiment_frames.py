"""Planted results of experiments, one for each verdict, and shops that have some of them."""

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.experiments import Experiments
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.models.attribution import MODELS, Attribution
from lifecycle_assets.models.caused_share import CausedShare
from lifecycle_assets.models.experiment_results import ExperimentResults

AS_OF = dt.date(2024, 6, 30)
STARTED = dt.date(2024, 5, 2)
Row = dict[str, Any]
# Experiment -> effect on the margin per customer, half of its 95 % interval, half of the interval for every night (None: there
# is none), q value, days to go, p of the arms' sizes.
PLANTED: dict[str, tuple[float, float, float | None, float, int | None, float]] = {
    "winback": (0.8, 0.3, 0.6, 0.001, 0, 0.6),
    "triggers": (-1.25, 0.5, 1.0, 0.002, 0, 0.3),
    "vip_care": (0.6, 0.4, 0.9, 0.03, 12, 0.9),
    "cross_sell": (0.2, 0.9, 2.0, 0.7, 41, 0.5),
    "churn_save": (0.05, 0.2, 0.5, 0.8, 0, 0.4),
    "upgrade": (0.0, 0.1, None, 1.0, None, 0.7),
    "welcome": (3.0, 0.2, 0.4, 0.0001, 0, 1e-9),
}
VERDICTS = {
    "winback": "better",
    "triggers": "worse",
    "vip_care": "unsure",
    "cross_sell": "early",
    "churn_save": "flat",
    "upgrade": "open",
    "welcome": "mismatch",
    "second_purchase": "few",
}
FEW, WAITING = "second_purchase", "cold_winback"
# Case -> the experiments of the shop that have started.
CASES: dict[str, tuple[str, ...]] = {
    "rising": ("winback",),
    "falling": ("triggers", "welcome"),
    "flat": ("vip_care", "cross_sell", "churn_save", "upgrade"),
    "tiny": (FEW,),
    "unsure": ("vip_care",),
    "superseded": tuple(VERDICTS),
    "silent": (),
}


def frames(case: str) -> dict[str, pl.LazyFrame]:
    """The tables of a shop by their short names, but for the ledger; of an unknown case nothing has been set up."""
    names = CASES.get(case, ())
    waiting = [WAITING] if case in CASES else []
    made = {
        ExperimentResults: [row for name in names for row in (_few() if name == FEW else _measured(name))],
        Experiments: [_set_up(name) for name in [*names, *waiting]],
        CausedShare: [_share(name, place) for place, name in enumerate(names) if name != FEW],
        Attribution: [row for name in names for row in _credited(name)],
        Assignments: [row for name in names for row in _assigned(name)],
    }
    return {contract.table: _table(contract, rows).lazy() for contract, rows in made.items()}


def ledger(case: str) -> pl.LazyFrame:
    """Messages of each experiment's programme to all but those held out, whom some of them reach all the same."""
    return _table(Ledger, [row for name in CASES.get(case, ()) for row in _sent(name)]).lazy()


def _table(contract: Contract, rows: list[Row]) -> pl.DataFrame:
    key = {"shop_id": "corner", "as_of": AS_OF}
    schema = contract.polars_schema
    frame = pl.DataFrame([{**dict.fromkeys(schema), **key, **row} for row in rows], schema=schema)
    frame = frame.sort(contract.primary_key)
    contract.require(frame)
    return frame


def _measured(name: str) -> list[Row]:
    """All treated against those held out on every metric; of the best one also its two variants."""
    effect, half, always, q, to_go, mismatch = PLANTED[name]
    leave = {"triggers": 0.004, "churn_save": -0.004}.get(name, 0.0005)
    rows = [
        _row(name, "margin", effect, half, always, q, to_go, mismatch, base=8.0),
        _row(name, "revenue", 2 * effect, 3 * half, always and 6 * always, q, to_go, mismatch, base=25.0),
        _row(name, "orders", effect / 10, half / 8, always and always / 8, q, to_go, mismatch, base=1.5),
        _row(name, "buyers", effect / 50, half / 30, always and always / 20, q, to_go, mismatch, base=0.4),
        _row(name, "unsubscribed", leave, 0.002, None, 0.4, None, mismatch, base=0.01),
        _row(name, "order_value", effect / 4, half, None, 0.6, None, mismatch, base=16.0),
    ]
    if VERDICTS[name] == "better":
        for variant, control, change in (("small", "holdout", 0.5), ("large", "holdout", 1.1), ("large", "small", 0.6)):
            row = _row(name, "margin", change, half, always, q, to_go, mismatch, base=8.0)
            rows.append({**row, "variant": variant, "control": control, "n_treated": 4000})
    return rows


def _row(
    name: str,
    metric: str,
    effect: float,
    half: float,
    always: float | None,
    q: float,
    to_go: int | None,
    mismatch: float,
    base: float,
) -> Row:
    treated, control = 8500, 1500
    ends = {"": effect, "_lo": effect - half, "_hi": effect + half}
    plain = {"difference": effect * 1.1, "lo": effect * 1.1 - 1.2 * half, "hi": effect * 1.1 + 1.2 * half}
    adjusted = {f"cuped{end}": value for end, value in ends.items()}
    total = {f"total{end}": value * treated for end, value in ends.items()}
    if metric == "order_value":
        adjusted, total = {}, {}
    return {
        "experiment": name,
        "variant": "all",
        "control": "holdout",
        "metric": metric,
        "is_guardrail": metric == "unsubscribed",
        "started_on": STARTED,
        "days": (AS_OF - STARTED).days + 1,
        "n_treated": treated,
        "n_control": control,
        "mean_treated": base + effect * 1.1,
        "mean_control": base,
        **plain,
        **adjusted,
        **total,
        "p_value": q / 2,
        "q_value": q,
        "variance_saved": 0.35 if always else 0.0,
        "sequential_lo": effect - always if always else None,
        "sequential_hi": effect + always if always else None,
        "power": None if to_go is None else 0.86 if to_go == 0 else 0.41,
        "days_to_go": to_go,
        "mismatch_p": mismatch,
        "sentence": "As the table says.",
    }


def _few() -> list[Row]:
    """Nobody but one held out: no figures."""
    counts = {"n_treated": 7, "n_control": 1, "mismatch_p": 0.8, "note": "Too few customers or orders in an arm."}
    keys = ("experiment", "variant", "control", "metric", "is_guardrail", "started_on", "days", "sentence")
    of = _row(FEW, "revenue", 0.0, 1.0, None, 1.0, None, 0.8, base=1.0)
    return [{**{key: of[key] for key in keys}, **counts}]


def _set_up(name: str) -> Row:
    return {"experiment": name, "drawn_by": "{}", "messages_since": STARTED}


def _share(name: str, place: int) -> Row:
    """Every other one has caused something for certain."""
    error = 0.05 if place % 2 == 0 else 0.4
    return {"experiment": name, "since": STARTED, "ascribed": 240, "incremental": 72.0, "measured": 0.3, "error": error}


def _credited(name: str) -> list[Row]:
    months = (dt.date(2024, 5, 1), dt.date(2024, 6, 1))
    return [
        {
            "model": model,
            "month": month,
            "channel": "email",
            "programme": name,
            "orders": 3.5,
            "revenue": Decimal("120.25") + place,
            "incremental": Decimal("88.5000"),
        }
        for place, model in enumerate(MODELS)
        for month in months
    ]


def _assigned(name: str) -> list[Row]:
    """Every seventh customer is held out."""
    return [
        {
            "experiment": name,
            "customer_id": f"c{number:04}",
            "arm": "holdout" if number % 7 == 0 else "treatment",
            "bucket": f"{number:08x}",
            "holdout_share": 0.15,
        }
        for number in range(28)
    ]


def _sent(name: str) -> list[Row]:
    """To two of the treated; to one held out before the start, to another one a message that was taken back. Of the triggers
    two more that were held out got messages, one of them twice."""
    before = STARTED - dt.timedelta(days=9)
    lines = [("c0001", STARTED, "exported"), ("c0002", AS_OF, "exported"), ("c0000", before, "exported")]
    lines += [("c0007", STARTED, "exported"), ("c0007", STARTED, "compensated")]
    if name == "triggers":
        late = AS_OF - dt.timedelta(days=2)
        lines += [("c0014", STARTED, "exported"), ("c0014", late, "exported"), ("c0021", late, "exported")]
        name = "price_drop"
    at = dt.time(3, tzinfo=dt.UTC)
    return [
        {
            "as_of": night,
            "idempotency_key": f"{name} {customer} {night}",
            "batch_id": f"{name} {night}",
            "event": event,
            "at": dt.datetime.combine(night + dt.timedelta(days=1), at),
            "customer_id": customer,
            "channel": "email",
            "programme": name,
            "step": 1,
            "actor": "nightly run",
            "run": "corner@run",
        }
        for customer, night, event in lines
    ]
