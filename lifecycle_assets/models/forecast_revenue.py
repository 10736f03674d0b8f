"""What will the shop take in each of the coming months, and each of its parts?

Revenue is that of completed lines, returns taken off on the day they came back. The parts by sales channel, category, country
and customer segment add up to the shop to the cent. See forecast_months.
"""

from lifecycle_assets.contracts import table
from lifecycle_assets.models.forecast_months import ForecastMonths


@table("models.forecast_revenue")
class ForecastRevenue(ForecastMonths):
    """Revenue of the coming months: `shop`, and by `channel:`, `category:`, `country:` and `segment:`, whose parts add up to
    the shop."""
