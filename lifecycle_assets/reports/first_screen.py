"""The first screen: what changed, why, what goes out tonight, what it is expected to earn."""

from typing import Any

from lifecycle_assets.reports import render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence, together
from lifecycle_assets.reports.sales import DRIVERS
from lifecycle_assets.reports.telling import Teller


def headline(tell: Teller) -> Sentence:
    """The one thing to know: whether customer revenue moved."""
    verdict = tell.facts.verdict("sales.30d.revenue") if tell.anyone else "empty"
    paths: dict[str, Any] = {"value": "sales.30d.revenue", "days": "period.short"}
    if verdict in {"rising", "falling"}:
        paths["change"] = "sales.30d.revenue/before/change"
    return tell.say(f"headline.{verdict}", **paths)


def answers(tell: Teller) -> list[tuple[str, list[Sentence]]]:
    """The four questions of the first screen, each with its answer."""
    return [
        (tell.word("question.changed"), _changed(tell)),
        (tell.word("question.why"), _why(tell)),
        (tell.word("question.tonight"), going_out(tell)),
        (tell.word("question.value"), expected(tell)),
    ]


def notices(tell: Teller) -> list[Sentence]:
    """What a reader must know before believing or acting: consent that is only assumed, data that is old."""
    said = []
    if assumed := tell.settings.routing.assume_consent:
        channels = tell.writer.join([tell.channel_name(channel) for channel in assumed])
        said.append(tell.say("notice.assumed", words={"channels": channels}))
    if tell.facts.value("data.age"):
        said.append(tell.say("notice.stale", count="data.age", last="data.last"))
    return said


def tiles(tell: Teller) -> list[render.Tile]:
    """The key figures, each with what it is held against."""
    found = [
        render.Tile(
            tell.say("tile.customers"),
            tell.number("customers"),
            tell.say("tile.joined", count="moves.joined", days="period.short"),
            "none",
        )
    ]
    for name, fact, days in (
        ("active", "sales.90d.buyers", "period.long"),
        ("revenue", "sales.30d.revenue", "period.short"),
        ("orders", "sales.30d.orders", "period.short"),
        ("ticket", "sales.30d.ticket", "period.short"),
    ):
        if tell.facts.value(fact) is None:
            continue
        verdict = tell.facts.verdict(fact)
        found.append(
            render.Tile(tell.say(f"tile.{name}", days=days), tell.number(fact), tell.compared("tile", fact), verdict)
        )
    decided = tell.facts.value("tonight.decided")
    held = tell.say("tile.held", count="tonight.holds") if decided else tell.say("tile.undecided")
    found.append(render.Tile(tell.say("tile.messages"), tell.number("tonight.sends"), held, "none"))
    return found


def going_out(tell: Teller) -> list[Sentence]:
    """What goes out tonight, the largest programmes first, and who is kept back to measure it."""
    if not tell.facts.value("tonight.decided"):
        return [tell.say("tonight.undecided")]
    if not tell.facts.value("tonight.sends"):
        return [tell.say("tonight.nothing", decided="tonight.decided"), *unsent(tell)]
    programmes = [_programme(tell, row) for row in tell.facts.tables["largest"]]
    if tell.facts.value("tonight.rest"):
        programmes.append(tell.say("tonight.rest", count="tonight.rest"))
    return [
        tell.say("tonight.sends", count="tonight.sends", decided="tonight.decided"),
        together(programmes),
        *unsent(tell),
        holdout(tell),
    ]


def unsent(tell: Teller) -> list[Sentence]:
    """The messages that were planned and yet do not go out: held back at the last check, or not released at all."""
    said = []
    if tell.facts.value("tonight.superseded"):
        said.append(tell.say("tonight.superseded", count="tonight.superseded", later="tonight.later"))
    if tell.facts.value("tonight.withheld"):
        rows = tell.facts.tables["withheld"]
        reasons = tell.reasons([(tell.reason_text(row["reason"]), f"withheld.{row['reason']}") for row in rows])
        said.append(tell.say("tonight.withheld", count="tonight.withheld", words={"reasons": reasons}))
    return said


def expected(tell: Teller) -> list[Sentence]:
    """What tonight's messages are expected to earn, and on what assumption."""
    if not tell.facts.value("tonight.sends"):
        return [tell.say("value.nothing")]
    return [tell.say("value.positive", value="tonight.value", responses="tonight.responses", sends="tonight.sends")]


def holdout(tell: Teller) -> Sentence:
    """How many are kept back on purpose, or that nobody is."""
    if tell.facts.value("tonight.holdout"):
        return tell.say("tonight.holdout", count="tonight.holdout")
    return tell.say("tonight.no_holdout")


def _changed(tell: Teller) -> list[Sentence]:
    if not tell.anyone:
        return [tell.say("changed.empty", date="as_of")]
    revenue = "sales.30d.revenue"
    paths = {"days": "period.short", "first": "data.first", "buyers": "sales.30d.buyers"}
    if "sales.30d.buyers/before" in tell.facts:
        paths["buyers_before"] = "sales.30d.buyers/before/value"
    said = [tell.compared("changed", revenue, **paths)]
    if tell.facts.verdict(revenue) != "none":
        said.append(tell.compared("year", revenue, "year", first="data.first"))
    # Data that ends before the day of the report says nothing about that day.
    return said if tell.facts.value("data.age") else [*said, together(_last_night(tell))]


def _last_night(tell: Teller) -> list[Sentence]:
    """What happened since the night before: orders, customers who moved, and what the messages met."""
    verdict = tell.facts.verdict("day.orders", "usual")
    usual: dict[str, Any] = {"lo": "day.usual/lo", "hi": "day.usual/hi"} if "day.usual/lo" in tell.facts else {}
    said = [tell.say(f"night.orders.{verdict}", count="day.orders", **usual)]
    moves: dict[str, Any] = {name: f"night.{name}" for name in ("joined", "slipped", "returned")}
    moved = any(tell.facts.value(path) for path in moves.values())
    said.append(tell.say("night.moves", **moves) if moved else tell.say("night.still"))
    if tell.facts.value("day.sent"):
        said.append(tell.say("night.sent", count="day.sent", orders="day.sent.orders"))
    return said


def _why(tell: Teller) -> list[Sentence]:
    verdict = tell.facts.verdict("sales.30d.revenue") if tell.anyone else "empty"
    parts: dict[str, Any] = {driver: tell.facts.value(f"why.{driver}") for driver in DRIVERS}
    if verdict in {"empty", "none", "few"} or None in parts.values():
        return [tell.say(f"why.{verdict if verdict in {'empty', 'none'} else 'few'}", few="method.few")]
    if verdict == "flat":
        return [tell.say("why.flat", buyers="why.buyers", frequency="why.frequency", ticket="why.ticket")]
    # The driver that moved revenue most in the direction it went; no cause, if its own change may be chance.
    main = max(DRIVERS, key=lambda driver: parts[driver] if verdict == "rising" else -parts[driver])
    if tell.facts.verdict(f"sales.30d.{main}") != verdict:
        return [tell.say("why.unclear", buyers="why.buyers", frequency="why.frequency", ticket="why.ticket")]
    others: dict[str, Any] = {driver: f"why.{driver}" for driver in DRIVERS if driver != main}
    return [
        tell.say(
            f"why.{main}.{verdict}",
            now=f"sales.30d.{main}",
            before=f"sales.30d.{main}/before/value",
            part=f"why.{main}",
        ),
        tell.say(
            f"why.{main}.rest",
            difference="sales.30d.revenue/before/difference",
            **others,
        ),
    ]


def _programme(tell: Teller, row: Row) -> Sentence:
    prefix = f"send.{row['programme']}.{row['channel']}"
    span = "" if row["first"] == row["last"] else "_span"
    offer = "_offer" if row["discount"] else ""
    return tell.say(
        f"tonight.programme{span}{offer}",
        count=f"{prefix}.messages",
        words={"programme": tell.programme_name(row["programme"]), "channel": tell.channel_name(row["channel"])},
        first=f"{prefix}.first",
        last=f"{prefix}.last",
        discount=f"{prefix}.discount",
    )
