"""A small report with everything that a page may hold, and texts that would be markup or formulas elsewhere."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

from lifecycle_assets.reports import charts
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Sentence, Writer
from lifecycle_assets.reports.render import Figure, Page, Section, Table, Tile
from lifecycle_assets.reports.report import Report

AS_OF = dt.date(2024, 6, 30)
BAD = '#panic("x") $1/0$ *b* _i_ `r` @ref <b>&amp;</b> \\ [ ] = {{ 7*7 }} //'
FORMULA = '=HYPERLINK("http://evil.example";"x")'
ADDRESS = "https://evil.example/a"
WORDS = {
    "skip": "Skip to the answers",
    "contents": "Contents",
    "data_table": "Show the numbers",
    "made_from": "Every number is in the tables.",
    "tiles": "Key figures",
    "notice": "Assumption",
    "numbers": "Numbers behind the charts",
    "sheets": "Tables",
    "others": "Other languages and formats",
    "gallery": "All reports",
}


def page(language: str = "en", locale: str = "en_GB", rows: int = 200, bad: str = BAD) -> Page:
    """`rows` are those of the longest table."""
    write = Writer(language, "GB", "GBP", Facts([]))
    cells = [
        [
            f"P{n:03} {bad}",
            write.format(n, "customers"),
            write.format(Decimal("12345.678"), "currency"),
            write.format(0.12345, "share"),
            write.format(AS_OF, "date", "short"),
            write.format(dt.time(9, 30), "time"),
            write.format(None if n % 2 else 1.5, "ratio"),
            FORMULA if n % 2 else ADDRESS,
        ]
        for n in range(rows)
    ]
    long = Table(f"Products: {bad}", ["Product", *"ABCDEF", "Note"], cells, frozenset({7}))
    data = [{"group": g, "series": s, "value": 1 + n, "label": str(1 + n)} for g in "abc" for n, s in enumerate("xy")]
    drawn = charts.columns(data, "xy", charts.Axes("Months", "Revenue, GBP", "en-GB"), "weekly")
    figure = Figure(
        "weekly",
        Sentence("Revenue rose"),
        Sentence("By month"),
        Sentence("A column chart."),
        drawn,
        [Table("Weekly: revenue", ["Month", "Revenue"], [["a", write.format(3, "currency")]])],
    )
    said = Sentence(f"Revenue is up by €3, R$ 4 or £5 − “so”… ñãç 10:00\u202fAM, −\u2060£3 {bad}")
    sections = [
        Section("sales", "Sales", [said, said], tables=[long], figures=[figure]),
        Section("notes", "Reading", notes=[Sentence("A note.")], terms=[("New", Sentence("Bought once."))]),
        Section("empty", "Nothing yet", [Sentence("There is nothing to tell.")]),
        Section("all", "All tables", tables=[replace(long, rows=cells[:1], id="t", notes=["Why."], code="SELECT 1")]),
    ]
    tiles = [
        Tile(Sentence("Customers"), Sentence("1,234"), Sentence(note), mark)
        for note, mark in (("more", "rising"), ("less", "falling"), ("alike", "flat"))
    ]
    return Page(
        language=language,
        shop=f"Corner & Sons {bad}",
        kind="Sample report",
        title=Sentence("Corner: sample report"),
        dated=Sentence("As of 30 June 2024"),
        headline=Sentence("Revenue is up"),
        answers=[("What changed", [said]), ("Why", [said]), ("What goes out", [said, said])],
        notices=[Sentence("Consent is assumed.")],
        tiles=tiles,
        sections=sections,
        words=WORDS,
        locale=locale,
        languages=("en", "es", "pt"),
    )


def report(language: str = "en", name: str = "sample", shop: str = "corner", as_of: dt.date = AS_OF) -> Report:
    return Report(name, shop, as_of, "GBP", page(language), Facts([]))
