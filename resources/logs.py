"""What a run says while it works: one line per asset on standard error, or one JSON object per line.

Lines carry run, shop and asset, never rows or personal data. `LIFECYCLE_LOG=json` chooses the second form.
"""

import json
import logging
import os
import re
import sys
import time
from typing import Any, TextIO

import dagster as dg

OURS = re.compile(r"^lifecycle_assets\.errors\.\w+: ")
# What comes after a failure says nothing new: the summary counts it.
SKIPPED = "Dependencies for step"


class RunHandler(logging.Handler):
    """Shows the events that matter to a person who waits, and every warning."""

    def __init__(self, stream: TextIO, as_json: bool) -> None:
        super().__init__()
        self.stream = stream
        self.as_json = as_json
        self.rows: dict[str, int] = {}
        self.began = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        meta: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        line = self._event(event) if event else None
        message = meta.get("orig_message") or record.getMessage()
        if event is None and record.levelno >= logging.INFO and not message.startswith(SKIPPED):
            line = (logging.getLevelName(record.levelno).lower(), message)
        if line is None:
            return
        kind, text = line
        step = meta.get("step_key") or (event.step_key if event else None)
        if self.as_json:
            fields = {
                "level": record.levelname.lower(),
                "event": kind,
                "run": meta.get("run_id"),
                "shop": (meta.get("job_tags") or {}).get("dagster/partition"),
                "asset": step.replace("__", ".") if step else None,
                "message": text,
                "elapsed": round(time.monotonic() - self.began, 3),
            }
            print(json.dumps({k: v for k, v in fields.items() if v is not None}), file=self.stream, flush=True)
        else:
            print(f"{time.monotonic() - self.began:7.1f}s  {text}", file=self.stream, flush=True)

    def _event(self, event: dg.DagsterEvent) -> tuple[str, str] | None:
        name = (event.step_key or "").replace("__", ".")
        kind = event.event_type_value
        text: str | None = None
        if kind == "ASSET_MATERIALIZATION":
            rows = event.step_materialization_data.materialization.metadata.get("dagster/row_count")
            self.rows[name] = int(getattr(rows, "value", -1) if rows is not None else -1)
        elif kind == "ASSET_CHECK_EVALUATION":
            result = event.asset_check_evaluation_data
            if not result.passed:
                text = f"{name}  FAILED CHECK: {result.description or result.check_name}"
        elif kind == "STEP_SUCCESS" and name in self.rows:
            rows_text = f"{self.rows[name]:>12,} rows" if self.rows[name] >= 0 else " " * 17
            text = f"{name:<34}{rows_text}{event.step_success_data.duration_ms / 1000:9.2f} s"
        elif kind == "STEP_FAILURE":
            text = f"{name}  FAILED: {cause(event.step_failure_data.error)}"
        elif kind in {"STEP_RESTARTED", "RUN_FAILURE"}:
            text = event.message or kind
        return (kind.lower(), text) if text else None


def cause(error: Any) -> str:
    """What our own error says, else the innermost message of a step's error, without the layers around it."""
    while error is not None and error.cause is not None and not OURS.match(error.message):
        error = error.cause
    return OURS.sub("", (error.message if error else "unknown error").strip())


@dg.logger
def console(_: dg.InitLoggerContext) -> logging.Logger:
    """One line per asset on standard error; `LIFECYCLE_LOG=json` for one JSON object per line."""
    logger = logging.Logger("lifecycle", level=logging.DEBUG)
    logger.addHandler(RunHandler(sys.stderr, as_json=os.environ.get("LIFECYCLE_LOG") == "json"))
    return logger
