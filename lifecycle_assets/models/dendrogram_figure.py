"""Draws the top of the customers' tree as SVG: a truncated dendrogram, and an icicle of shares.

The last merges are shown, what lies below them as one branch with its number of customers in brackets. Clusters of the chosen
cut have a colour each (Okabe and Ito's palette, safe for colour-blind readers) and their number beside it; what lies above the
cut is grey.
"""

from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import polars as pl

from lifecycle_assets.drawing import AXIS, FONT, INK, MUTED, RULE, SERIES_COLOURS

LAST_MERGES = 30
UNIT = "Ward distance (units of the scaled features)"
WIDTH, HEIGHT = 900, 480
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 64, 72


class Cut(NamedTuple):
    """A tree and the cluster 1 .. k of each of its leaves when it is cut into k."""

    tree: np.ndarray
    clusters: np.ndarray
    sizes: np.ndarray  # customers of each leaf


class Node(NamedTuple):
    """What is drawn of a node: where, how high, how many customers, which cluster (0 above the cut), which children."""

    x: float
    distance: float
    size: int
    cluster: int
    children: tuple[int, ...]


def cut_of(tree: np.ndarray, dendrogram_leaves: pl.DataFrame) -> Cut:
    """The linkage with the clusters and customers of its leaves, out of rows of models.dendrogram_leaves."""
    leaves = dendrogram_leaves.group_by("leaf").agg(pl.col("cluster_id").first(), pl.len()).sort("leaf")
    return Cut(tree, leaves["cluster_id"].to_numpy(), leaves["len"].to_numpy())


def dendrogram_svg(cut: Cut) -> str:
    """The last 30 merges from left to right, the distance upwards, and the line at which the tree is cut."""
    k = int(cut.clusters.max())
    nodes, root = top_of(cut, max(LAST_MERGES, k))
    highest = nodes[root].distance or 1.0
    n_branches = sum(not node.children for node in nodes.values())
    step = (WIDTH - LEFT - RIGHT) / n_branches

    def x(place: float) -> float:
        return LEFT + step * (place + 0.5)

    def y(distance: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * distance / highest

    marks = []
    for tick in _ticks(highest):
        marks.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="{RULE}"/>')
        marks.append(_text(LEFT - 6, y(tick) + 4, f"{tick:g}", anchor="end"))
    for node in nodes.values():
        colour = _colour(node.cluster)
        if not node.children:
            turn = f'transform="rotate(-60 {x(node.x):.1f} {HEIGHT - BOTTOM + 14})"'
            marks.append(_text(x(node.x), HEIGHT - BOTTOM + 14, f"({node.size:,})", anchor="end", size=11, more=turn))
            continue
        one, two = (nodes[child] for child in node.children)
        path = f"M{x(one.x):.1f} {y(one.distance):.1f}V{y(node.distance):.1f}H{x(two.x):.1f}V{y(two.distance):.1f}"
        marks.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    for cluster, top in tops_of(nodes).items():
        marks.append(_text(x(top.x) + 5, y(top.distance) - 5, str(cluster), colour=_colour(cluster), bold=True))
    if k > 1:
        line = (cut.tree[-k, 2] + cut.tree[1 - k, 2]) / 2
        marks.append(f'<path d="M{LEFT} {y(line):.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-dasharray="6 4"/>')
        marks.append(_text(WIDTH - RIGHT, y(line) - 5, f"cut into {k} clusters", anchor="end"))
    middle = (HEIGHT - BOTTOM + TOP) / 2
    marks.append(_text(16, middle, UNIT, anchor="middle", more=f'transform="rotate(-90 16 {middle})"'))
    marks.append(_text(LEFT, HEIGHT - 8, "(customers below a branch)"))
    return _svg(_finding(cut), marks)


def icicle_svg(cut: Cut, depth: int) -> str:
    """A row per level of the tree, from all customers at the top; widths are shares of the customers."""
    nodes, root = top_of(cut, 2**depth - 1)
    total = nodes[root].size
    row = (HEIGHT - TOP - 16) / (depth + 1)
    tops = tops_of(nodes).values()
    marks = [_text(LEFT, TOP - 12, "shares of the customers; each row shows the two parts of what is above it")]
    level, starts = [root], {root: 0}
    for down in range(depth + 1):
        below: list[int] = []
        for name in level:
            node = nodes[name]
            left = LEFT + (WIDTH - LEFT - RIGHT) * starts[name] / total
            width = (WIDTH - LEFT - RIGHT) * node.size / total
            top = TOP + row * down
            marks.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{row:.1f}" fill="{_colour(node.cluster)}" '
                f'fill-opacity="0.6" stroke="white"><title>{node.size:,} customers</title></rect>'
            )
            if width > 46:
                named = f"cluster {node.cluster}: " if node in tops and width > 110 else ""
                label = f"{named}{node.size / total:.0%}"
                marks.append(_text(left + width / 2, top + row / 2 + 4, label, anchor="middle", colour=INK))
            start = starts[name]
            for child in node.children:
                starts[child] = start
                start += nodes[child].size
                below.append(child)
        level = below
    return _svg(_finding(cut), marks)


def top_of(cut: Cut, merges: int) -> tuple[dict[int, Node], int]:
    """The nodes of the last merges and the branches below them, by number, and the number of the topmost."""
    n = len(cut.tree) + 1
    shown = range(max(n, 2 * n - 1 - merges), 2 * n - 1)
    root = 2 * n - 2
    waiting, order = [root], []
    while waiting:
        at = waiting.pop()
        order.append(at)
        if at in shown:
            waiting += cut.tree[at - n, 1::-1].astype(int).tolist()
    nodes: dict[int, Node] = {}
    branches = sum(at not in shown for at in order)
    # From the right to the left, so that children come before what joins them.
    for at in reversed(order):
        size = int(cut.tree[at - n, 3]) if at >= n else int(cut.sizes[at])
        distance = float(cut.tree[at - n, 2]) if at >= n else 0.0
        if at not in shown:
            branches -= 1
            nodes[at] = Node(branches, 0.0, size, int(cut.clusters[_some_leaf(cut.tree, at)]), ())
            continue
        one, two = cut.tree[at - n, :2].astype(int).tolist()
        cluster = nodes[one].cluster if nodes[one].cluster == nodes[two].cluster else 0
        nodes[at] = Node((nodes[one].x + nodes[two].x) / 2, distance, size, cluster, (one, two))
    return nodes, root


def _some_leaf(tree: np.ndarray, at: int) -> int:
    n = len(tree) + 1
    while at >= n:
        at = int(tree[at - n, 0])
    return at


def tops_of(nodes: dict[int, Node]) -> dict[int, Node]:
    """The topmost node of each cluster."""
    tops: dict[int, Node] = {}
    for node in nodes.values():
        if node.cluster and (node.cluster not in tops or node.size > tops[node.cluster].size):
            tops[node.cluster] = node
    return dict(sorted(tops.items()))


def _finding(cut: Cut) -> str:
    sizes = np.bincount(cut.clusters, cut.sizes)
    total, largest = sizes.sum(), int(sizes.argmax())
    if cut.clusters.max() == 1:
        return f"{total:,.0f} customers, in one cluster"
    return (
        f"{total:,.0f} customers fall into {cut.clusters.max()} clusters; cluster {largest} holds "
        f"{sizes[largest] / total:.0%} of them"
    )


def _ticks(highest: float) -> list[float]:
    step = 10.0 ** np.floor(np.log10(highest))
    step *= 0.5 if highest / step > 2.5 else 0.2
    return [round(float(tick), 9) for tick in np.arange(0, highest + step / 2, step * (2 if highest / step > 8 else 1))]


def _colour(cluster: int) -> str:
    return SERIES_COLOURS[(cluster - 1) % len(SERIES_COLOURS)] if cluster else AXIS


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = MUTED,
    size: int = 12,
    bold: bool = False,
    more: str = "",
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{weight} {more}>'
        f"{escape(text)}</text>"
    )


def _svg(title: str, marks: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="{FONT}" role="img"><title>{escape(title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        + _text(LEFT, 30, title, colour=INK, size=17, bold=True)
        + "".join(marks)
        + "</svg>"
    )
