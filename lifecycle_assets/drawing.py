"""What every picture has in common: colours, type, and how an altair chart becomes SVG, without a browser or a network.

Colours are from Okabe and Ito's palette (safe for colour-blind readers) and differ in lightness.
"""

import json
from typing import Any

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK, MUTED, RULE, AXIS = "#1f2933", "#52606d", "#e4e7eb", "#9aa5b1"
DARK, LIGHT = "#0072b2", "#e69f00"
# The first five are told apart in greys as well.
SERIES_COLOURS = ("#0072b2", "#e69f00", "#009e73", INK, "#f0e442", "#56b4e9", "#d55e00", "#cc79a7")


def svg(chart: Any, locale: Any = "en-US") -> str:
    """The chart as SVG, in the project's type and colours, on a transparent ground."""
    import altair as alt
    import vl_convert

    spec = chart.to_dict(validate=False)
    spec["autosize"] = {"type": "fit" if spec.get("width") else "pad", "contains": "padding"}
    spec["padding"] = 4
    spec["background"] = "transparent"
    spec["config"] = {
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": INK,
            "titleColor": MUTED,
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "gridColor": RULE,
            "domainColor": AXIS,
            "tickColor": AXIS,
        },
        "legend": {"labelColor": INK, "labelFontSize": 12, "symbolType": "square"},
        "text": {"fontSize": 12, "font": FONT},
    }
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    # As text, so that no key is reordered or rounded on the way; no address is ever allowed.
    return vl_convert.vegalite_to_svg(
        json.dumps(spec), vl_version=version, format_locale=locale, time_format_locale=locale, allowed_base_urls=[]
    )
