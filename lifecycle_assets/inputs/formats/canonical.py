"""Tables under the names of `raw.*`, columns under their own names: nothing to map."""

from lifecycle_assets.inputs.mapping import Format, Recipe

CANONICAL = Format(
    "canonical",
    {"order_lines": Recipe(names=("order_lines", "orders"))},
    marks=(("order_id", "ordered_at", "unit_price"),),
)
