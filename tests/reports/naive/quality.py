"""Rows read, kept and set aside."""

import datetime as dt
from collections import Counter
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows, share


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    reads = rows["input_reads"]
    found: dict[str, Any] = {f"rows.{name}": sum(r[f"rows_{name}"] for r in reads) for name in ("read", "kept")}
    found["rows.left_out"] = sum(r["rule"] == "left_out" for r in rows["quarantine"])
    found["rows.broken"] = sum(r["rule"] != "left_out" for r in rows["quarantine"])
    found["rows.tables"] = sum(r["rows_read"] > 0 for r in reads)
    found["rows.broken.share"] = share(found["rows.broken"], found["rows.read"])
    found["rows.left_out.share"] = share(found["rows.left_out"], found["rows.read"])
    reasons = Counter(
        (r["table"], r["column"], r["rule"], r["message"] if r["rule"] == "left_out" else "")
        for r in rows["quarantine"]
    )
    top = sorted(reasons.values(), reverse=True)[:10]
    return found | {f"reason.{place}": count for place, count in enumerate(top, start=1)}
