"""How to read the report, and the words it uses."""

from typing import Any

from lifecycle_assets.reports import render
from lifecycle_assets.reports.telling import Teller


def reading(tell: Teller) -> render.Section:
    """What the words of comparison mean, and what counts as what."""
    paths: dict[str, Any] = {
        "confidence": "method.confidence",
        "few": "method.few",
        "short": "period.short",
        "long": "period.long",
        "year": "period.year",
        "weeks": "day.weeks",
        "date": "as_of",
    }
    keys = ("intervals", "few", "usual", "periods", "revenue", "future")
    notes = [tell.say(f"reading.{key}", **paths) for key in keys]
    return render.Section("reading", tell.word("section.reading"), notes=notes)


def glossary(tell: Teller) -> render.Section:
    """The words used, with the shop's own thresholds."""
    keys = ("new", "active", "at_risk", "lapsed", "won_back", "rfm", "champion", "loyalty", "holdout", "expected")
    paths: dict[str, Any] = {
        fact.removeprefix("setting."): fact for fact in tell.facts.facts if fact.startswith("setting.")
    }
    terms = [
        (tell.word(f"glossary.{key}.term"), tell.say(f"glossary.{key}.text", bins="rfm.bins", **paths))
        for key in (*keys, "quarantine")
    ]
    return render.Section("glossary", tell.word("section.glossary"), terms=terms)
