"""What goes out, what is held back and why."""

import datetime as dt
from collections import Counter
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    exported = [r for r in rows["ledger"] if r["as_of"] == as_of and r["event"] == "exported"]
    later = max((r["as_of"] for r in rows["ledger"] if r["as_of"] > as_of and r["event"] == "exported"), default=None)
    out = {r["customer_id"] for r in exported}
    refused = {
        r["customer_id"]: r["detail"].removesuffix(" at export")
        for r in rows["ledger"]
        if r["as_of"] == as_of and r["event"] == "cancelled" and r["detail"].endswith(" at export")
    }
    planned = [r for r in rows["decisions"] if r["action"] == "send"]
    sends = [r for r in planned if r["customer_id"] in out]
    holds = [r for r in rows["decisions"] if r["action"] == "hold"]
    for r in planned:
        if r["customer_id"] not in out:
            reason = refused.get(r["customer_id"], "superseded" if later else "unreleased")
            holds.append({**r, "reason": reason})
    found: dict[str, Any] = {"tonight.decided": len(rows["decisions"]), "tonight.planned": len(planned)}
    found |= {"tonight.sends": len(sends), "tonight.holds": len(holds)}
    sizes = sorted(Counter((r["programme"], r["channel"]) for r in sends).values())
    found["tonight.rest"] = sum(sizes[:-3])
    found["tonight.batches"] = len({r["batch_id"] for r in exported})
    withheld = Counter(refused[r["customer_id"]] for r in planned if r["customer_id"] in refused.keys() - out)
    found["tonight.withheld"] = withheld.total()
    found |= {f"withheld.{reason}": count for reason, count in withheld.items()}
    found["tonight.superseded"] = sum(r["reason"] == "superseded" for r in holds)
    found["tonight.later"] = later if found["tonight.superseded"] else None
    found["tonight.holdout"] = sum(r["reason"] == "holdout" for r in holds)
    found["tonight.value"] = sum(r["expected_value"] for r in sends)
    found["tonight.responses"] = sum(r["score_propensity"] for r in sends)
    hours = Counter(r["send_at_local"].hour for r in sends)
    busiest = min(hours, key=lambda hour: (-hours[hour], hour), default=None)
    found["tonight.busiest_hour"] = None if busiest is None else dt.time(busiest)
    found["tonight.busiest"] = hours[busiest]
    for name in {(r["programme"], r["channel"]) for r in sends}:
        these = [r for r in sends if (r["programme"], r["channel"]) == name]
        times = [r["send_at_local"].time() for r in these]
        prefix = f"send.{'.'.join(name)}"
        found |= {f"{prefix}.messages": len(these), f"{prefix}.first": min(times), f"{prefix}.last": max(times)}
        found[f"{prefix}.value"] = sum(r["expected_value"] for r in these)
        found[f"{prefix}.discount"] = max(r["discount_pct"] for r in these) / 100
    for reason, count in Counter(r["reason"] for r in holds).items():
        found |= {f"hold.{reason}": count, f"hold.{reason}.share": count / len(holds)}
    return found
