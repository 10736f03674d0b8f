"""Bands from where customers were to where they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from lifecycle_assets.drawing import INK, MUTED
from lifecycle_assets.reports.charts.picture import (
    NARROW,
    WIDE,
    Picture,
    Row,
    draw,
)

STAGE_COLOURS = {
    "not_yet": "#d5d9de",
    "new": "#56b4e9",
    "active": "#0072b2",
    "won_back": "#009e73",
    "at_risk": "#e69f00",
    "lapsed": "#6b7280",
}
STEPS = 24


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

    return draw(chart, name, "en-US")


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
