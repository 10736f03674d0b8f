"""How many units of each product will be asked for in the coming months?

Units are those of completed lines, returned ones taken off. Series are `product:<product_id>`, of the products of most revenue.
See forecast_months.
"""

from lifecycle_assets.contracts import table
from lifecycle_assets.models.forecast_months import ForecastMonths


@table("models.forecast_units")
class ForecastUnits(ForecastMonths):
    """Units of each product in the coming months."""
