"""The report's charts: each function draws one kind, for a wide page and for a phone."""

from lifecycle_assets.reports.charts.bars import bars, columns, pairs
from lifecycle_assets.reports.charts.centroids import centroids
from lifecycle_assets.reports.charts.fan import Legend, fan, fans
from lifecycle_assets.reports.charts.flow import flow
from lifecycle_assets.reports.charts.forest import forest
from lifecycle_assets.reports.charts.grid import heat_map
from lifecycle_assets.reports.charts.lines import against
from lifecycle_assets.reports.charts.picture import Axes, Picture
from lifecycle_assets.reports.charts.staircase import staircase
from lifecycle_assets.reports.charts.time import hours, weekly
from lifecycle_assets.reports.charts.tree import tree

__all__ = [
    "Axes",
    "Legend",
    "Picture",
    "against",
    "bars",
    "centroids",
    "columns",
    "fan",
    "fans",
    "flow",
    "forest",
    "heat_map",
    "hours",
    "pairs",
    "staircase",
    "tree",
    "weekly",
]
