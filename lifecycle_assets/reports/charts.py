"""Draws the report's charts as SVG, without a browser and without a network.

Altair describes a chart, vl-convert renders it. Each chart is drawn twice, for a wide page and for a phone, since text that
shrinks with its picture cannot be read. Colours are from Okabe and Ito's palette (safe for colour-blind readers), differ in
lightness, and never carry a meaning alone: every mark is labelled or stands in a legend in the same order.
Titles are not part of the picture; the page sets them as text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifecycle_assets.drawing import DARK, INK, MUTED, SERIES_COLOURS, svg

if TYPE_CHECKING:
    import altair as alt

WIDE, NARROW = 700, 312
STAGE_COLOURS = {
    "not_yet": "#d5d9de",
    "new": "#56b4e9",
    "active": "#0072b2",
    "won_back": "#009e73",
    "at_risk": "#e69f00",
    "lapsed": "#6b7280",
}
STEPS = 24
SHORT_NUMBERS = "format(datum.value, '~s')"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """One chart, drawn for a wide page and for a narrow one."""

    wide: str
    narrow: str


@dataclass(frozen=True)
class Axes:
    """What stands along the axes, in the reader's language."""

    x: str
    y: str
    locale: Any


def weekly(rows: Sequence[Row], axes: Axes, series: Sequence[str], name: str) -> Picture:
    """Stacked bars over time. rows: week_ending (date), one number per name in `series`."""
    import altair as alt

    data = [
        {"week": f"{row['week_ending']}T00:00:00", "series": label, "place": place, "value": float(row[label])}
        for row in rows
        for place, label in enumerate(series)
    ]

    def chart(width: int) -> Any:
        bar = max(2.0, (width - 70) / max(len(rows), 8) * 0.78)
        return (
            alt.Chart(alt.Data(values=data))
            .mark_bar(size=bar)
            .encode(
                x=alt.X(
                    "week:T",
                    title=axes.x,
                    axis=alt.Axis(
                        tickCount=4 if width == NARROW else 8,
                        format="%b %Y",
                        labelOverlap=True,
                        grid=False,
                        labelFlush=True,
                    ),
                    scale=alt.Scale(padding=bar),
                ),
                y=alt.Y("value:Q", title=axes.y, axis=alt.Axis(labelExpr=SHORT_NUMBERS, tickCount=5)),
                color=_colour(series) if len(series) > 1 else alt.value(DARK),
                order=alt.Order("place:Q"),
            )
            .properties(width=width, height=220)
        )

    return _draw(chart, name, axes.locale)


def flow(
    rows: Sequence[Row], order: Sequence[str], words: Mapping[str, str], sides: tuple[str, str], name: str
) -> Picture:
    """Bands from where customers were (left) to where they are (right). rows: then, now, customers, in stacking order;
    words: the label of each stage on each side, keyed `then.<stage>` and `now.<stage>`."""
    import altair as alt

    total = sum(row["customers"] for row in rows)
    gap = total * 0.045
    left = _stacks(rows, "then", order, gap)
    right = _stacks(rows, "now", order, gap)
    height = max(end for _, end in [*left.values(), *right.values()])
    bands = _bands(rows, order, left, right)
    blocks = [
        {"side": side, "stage": stage, "top": top, "bottom": bottom}
        for side, stacks in ((0, left), (1, right))
        for stage, (top, bottom) in stacks.items()
    ]

    def chart(width: int) -> Any:
        margin = 178 if width == WIDE else 104
        tall = 340 if width == WIDE else 380
        x = alt.Scale(domain=[0, 1], range=[margin, width - margin])
        y = alt.Scale(domain=[height, 0])
        colour = alt.Color(
            "stage:N", legend=None, scale=alt.Scale(domain=list(STAGE_COLOURS), range=list(STAGE_COLOURS.values()))
        )
        ribbons = (
            alt.Chart(alt.Data(values=bands))
            .mark_area(opacity=0.5)
            .encode(
                x=alt.X("x:Q", axis=None, scale=x),
                y=alt.Y("top:Q", axis=None, scale=y),
                y2="bottom:Q",
                color=colour,
                detail="band:N",
            )
        )
        boxes = (
            alt.Chart(alt.Data(values=blocks))
            .mark_bar(size=10, stroke=INK, strokeWidth=0.5)
            .encode(
                x=alt.X("side:Q", axis=None, scale=x), y=alt.Y("top:Q", axis=None, scale=y), y2="bottom:Q", color=colour
            )
        )
        texts = []
        ends: Any = ((0, "then", left, "right", -10), (1, "now", right, "left", 10))
        for side, key, stacks, align, shift in ends:
            labels = _dodged(stacks, words, key, height, height * 15 / tall * (1 if width == WIDE else 2))
            if width == NARROW:
                labels = [{**label, "label": label["label"].split("\n")} for label in labels]
            else:
                labels = [{**label, "label": label["label"].replace("\n", " ")} for label in labels]
            texts.append(
                alt.Chart(alt.Data(values=labels))
                .mark_text(align=align, dx=shift, baseline="middle", color=INK, lineHeight=13)
                .encode(x=alt.datum(side, scale=x), y=alt.Y("middle:Q", axis=None, scale=y), text="label:N")
            )
            texts.append(
                alt.Chart(alt.Data(values=[{"label": sides[side]}]))
                .mark_text(align=align, dx=shift, color=MUTED, fontWeight="bold", baseline="bottom")
                .encode(x=alt.datum(side, scale=x), y=alt.value(-8), text="label:N")
            )
        return alt.layer(ribbons, boxes, *texts).properties(width=width, height=tall)

    return _draw(chart, name, "en-US")


def heat_map(rows: Sequence[Row], bins: int, axes: Axes, name: str) -> Picture:
    """A grid of cells with their count and a second line of text. rows: x, y, value, line_1, line_2."""
    import altair as alt

    data = list(rows)
    top = max((row["value"] for row in data), default=1)
    grid = [str(score) for score in range(1, bins + 1)]
    plain = alt.Axis(labelAngle=0, ticks=False, domain=False, titleLimit=NARROW)

    def chart(width: int) -> Any:
        base = alt.Chart(alt.Data(values=data)).encode(
            x=alt.X("x:O", title=axes.x, scale=alt.Scale(domain=grid), axis=plain),
            y=alt.Y("y:O", title=axes.y, scale=alt.Scale(domain=grid[::-1]), axis=plain),
        )
        cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
            color=alt.Color("value:Q", legend=None, scale=alt.Scale(domain=[0, top], range=["#eef5fb", "#003f6b"]))
        )
        ink = alt.condition(f"datum.value > {top * 0.58}", alt.value("white"), alt.value(INK))
        roomy = width / bins >= 55
        first = base.mark_text(dy=-7 if roomy else 0, fontWeight="bold", fontSize=12 if roomy else 9).encode(
            text="line_1:N", color=ink
        )
        layers = [cells, first]
        if roomy:
            layers.append(base.mark_text(dy=9, fontSize=11).encode(text="line_2:N", color=ink))
        return alt.layer(*layers).properties(width=width, height=min(width, 400))

    return _draw(chart, name, axes.locale)


def pairs(rows: Sequence[Row], series: tuple[str, str], axes: Axes, name: str) -> Picture:
    """Two bars per group, labelled. rows: group, series, value (share), label, in order."""
    import altair as alt

    data = [{**row, "place": place} for place, row in enumerate(rows)]
    groups = list(dict.fromkeys(row["group"] for row in rows))
    most = max([row["value"] for row in rows], default=1.0)

    def chart(width: int) -> Any:
        base = alt.Chart(alt.Data(values=data)).encode(
            y=alt.Y(
                "group:N",
                sort=groups,
                title=None,
                axis=alt.Axis(ticks=False, domain=False, labelPadding=8, labelLimit=width * 0.4),
            ),
            yOffset=alt.YOffset("series:N", sort=list(series), scale=alt.Scale(paddingInner=0.08)),
            x=alt.X(
                "value:Q",
                title=axes.x,
                scale=alt.Scale(domain=[0, min(1.0, most) * 1.12]),
                axis=alt.Axis(format="~%", tickCount=6 if width == WIDE else 3),
            ),
        )
        bars = base.mark_bar().encode(color=_colour(series))
        labels = base.mark_text(align="left", dx=4, color=INK).encode(text="label:N")
        return alt.layer(bars, labels).properties(width=width, height=46 * len(groups) + 70)

    return _draw(chart, name, axes.locale)


def columns(rows: Sequence[Row], series: tuple[str, str], axes: Axes, name: str) -> Picture:
    """Two columns side by side per group. rows: group, series, value, in order."""
    import altair as alt

    data = list(rows)
    groups = list(dict.fromkeys(row["group"] for row in rows))

    def chart(width: int) -> Any:
        return (
            alt.Chart(alt.Data(values=data))
            .mark_bar()
            .encode(
                x=alt.X("group:N", sort=groups, title=axes.x, axis=alt.Axis(labelAngle=0, ticks=False)),
                xOffset=alt.XOffset("series:N", sort=list(series)),
                y=alt.Y("value:Q", title=axes.y, axis=alt.Axis(tickCount=5)),
                color=_colour(series),
            )
            .properties(width=width, height=240)
        )

    return _draw(chart, name, axes.locale)


def bars(rows: Sequence[Row], name: str) -> Picture:
    """One labelled bar per row with its text above it, so that long texts fit a phone. rows: text, value, label."""
    import altair as alt

    def chart(width: int) -> Any:
        letters = (width - 70) // 6
        step = 44
        data = [{**row, "place": place, "text": _shortened(row["text"], letters)} for place, row in enumerate(rows)]
        most = max((row["value"] for row in rows), default=1)
        base = alt.Chart(alt.Data(values=data)).encode(
            y=alt.Y("place:O", axis=None, scale=alt.Scale(padding=0)),
            x=alt.X("value:Q", axis=None, scale=alt.Scale(domain=[0, most], range=[0, width - 90])),
        )
        marks = base.mark_bar(size=14, color=DARK, yOffset=10)
        numbers = base.mark_text(align="left", dx=5, dy=10, color=INK, fontWeight="bold").encode(text="label:N")
        texts = base.mark_text(align="left", dy=-8, color=INK).encode(x=alt.value(0), text="text:N")
        return alt.layer(marks, numbers, texts).properties(width=width, height=step * len(data))

    return _draw(chart, name, "en-US")


def hours(rows: Sequence[Row], axes: Axes, series: Sequence[str], name: str) -> Picture:
    """Stacked bars over the hours of a day. rows: hour, series, value."""
    import altair as alt

    data = [{**row, "place": list(series).index(row["series"])} for row in rows]

    def chart(width: int) -> Any:
        return (
            alt.Chart(alt.Data(values=data))
            .mark_bar(size=(width - 60) / 24 * 0.8)
            .encode(
                x=alt.X(
                    "hour:Q",
                    title=axes.x,
                    scale=alt.Scale(domain=[-0.5, 23.5], nice=False),
                    axis=alt.Axis(values=list(range(0, 24, 6 if width == NARROW else 3)), grid=False, format="d"),
                ),
                y=alt.Y("value:Q", title=axes.y, axis=alt.Axis(labelExpr=SHORT_NUMBERS, tickCount=4)),
                color=_colour(series) if len(series) > 1 else alt.value(DARK),
                order=alt.Order("place:Q"),
            )
            .properties(width=width, height=200)
        )

    return _draw(chart, name, axes.locale)


def against(rows: Sequence[Row], series: tuple[str, str], axes: Axes, name: str, numbers: str) -> Picture:
    """A line per series, the first with the range of each of its points. rows: x, series, value, and lo and hi where there is a
    range, in order; `numbers` is the format of the axis."""
    import altair as alt

    def chart(width: int) -> Any:
        base = alt.Chart(alt.Data(values=list(rows))).encode(
            x=alt.X("x:O", title=axes.x, axis=alt.Axis(labelAngle=0, labelOverlap=True, ticks=False)),
            y=alt.Y("value:Q", title=axes.y, scale=alt.Scale(zero=False), axis=alt.Axis(format=numbers, tickCount=5)),
            color=_colour(series),
        )
        ranges = base.transform_filter("isValid(datum.lo)").mark_rule(strokeWidth=2).encode(y="lo:Q", y2="hi:Q")
        lines = base.mark_line(point=alt.OverlayMarkDef(size=50, filled=True))
        return alt.layer(ranges, lines).properties(width=width, height=220)

    return _draw(chart, name, axes.locale)


def drawn(picture: str, name: str) -> Picture:
    """A picture that was drawn elsewhere, the same for a wide page and a narrow one."""
    return Picture(_own_ids(picture, f"{name}-wide"), _own_ids(picture, f"{name}-narrow"))


# --- the flow's geometry ----------------------------------------------------------------------------------------------


def _stacks(rows: Sequence[Row], side: str, order: Sequence[str], gap: float) -> dict[str, tuple[float, float]]:
    """Stage -> (top, bottom) of its block, stacked in order with gaps; stages without customers have none."""
    place, blocks = 0.0, {}
    for stage in order:
        size = sum(row["customers"] for row in rows if row[side] == stage)
        if size:
            blocks[stage] = (place, place + size)
            place += size + gap
    return blocks


def _bands(
    rows: Sequence[Row],
    order: Sequence[str],
    left: Mapping[str, tuple[float, float]],
    right: Mapping[str, tuple[float, float]],
) -> list[dict[str, Any]]:
    start = {stage: top for stage, (top, _) in left.items()}
    end = {stage: top for stage, (top, _) in right.items()}
    bands = []
    for row in sorted(rows, key=lambda row: (order.index(row["then"]), order.index(row["now"]))):
        from_top, to_top, size = start[row["then"]], end[row["now"]], row["customers"]
        start[row["then"]] += size
        end[row["now"]] += size
        for step in range(STEPS + 1):
            x = step / STEPS
            smooth = x * x * (3 - 2 * x)
            top = from_top + (to_top - from_top) * smooth
            bands.append(
                {
                    "band": f"{row['then']}-{row['now']}",
                    "stage": row["then"],
                    "x": round(x, 4),
                    "top": round(top, 3),
                    "bottom": round(top + size, 3),
                }
            )
    return bands


def _dodged(
    stacks: Mapping[str, tuple[float, float]], words: Mapping[str, str], side: str, height: float, apart: float
) -> list[dict[str, Any]]:
    """Labels at the middle of their blocks, moved apart where blocks are thin."""
    middles = [(top + bottom) / 2 for top, bottom in stacks.values()]
    for i in range(1, len(middles)):
        middles[i] = max(middles[i], middles[i - 1] + apart)
    limit = height - apart / 2
    for i in reversed(range(len(middles))):
        middles[i] = min(middles[i], limit)
        limit = middles[i] - apart
    return [
        {"middle": round(middle, 3), "label": words[f"{side}.{stage}"]}
        for stage, middle in zip(stacks, middles, strict=True)
    ]


# --- drawing ----------------------------------------------------------------------------------------------------------


def _colour(series: Sequence[str]) -> "alt.Color":
    import altair as alt

    colours = [SERIES_COLOURS[place % len(SERIES_COLOURS)] for place in range(len(series))]
    legend = alt.Legend(title=None, orient="top", labelLimit=220, columns=2)
    return alt.Color("series:N", sort=list(series), legend=legend, scale=alt.Scale(domain=list(series), range=colours))


def _draw(chart: Any, name: str, locale: Any) -> Picture:
    return Picture(
        *(
            _own_ids(_shorter_paths(svg(chart(width), locale)), f"{name}-{size}")
            for width, size in ((WIDE, "wide"), (NARROW, "narrow"))
        )
    )


def _shorter_paths(picture: str) -> str:
    """Outlines to a hundredth of a pixel: half the size, nothing to be seen."""

    def rounded(path: re.Match[str]) -> str:
        return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", path[0])

    return re.sub(r' d="[^"]*"', rounded, picture)


def _own_ids(picture: str, prefix: str) -> str:
    """Ids are counted anew in every picture; a page that holds many needs them apart. The page names the picture, so that
    the roles that the renderer writes for each mark are taken out: they would be read aloud one by one."""
    picture = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', picture)
    picture = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", picture)
    picture = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', picture)
    return re.sub(r' (?:aria-[a-z]+|role)="[^"]*"', "", picture)


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"
