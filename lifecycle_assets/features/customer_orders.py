"""What do a customer's orders alone say about them?

Set-based roll-up of order lines and orders at any as_of. Sums are exact decimals. Windows such as the last 90 days hold
the days as_of - 89 to as_of; what counts lines goes by the line's own date, what counts orders by the order's. "Most
frequent" is by sold lines for the category and by purchases for channel and country; ties go to the latest, then to the
first in the alphabet. The gaps' spread is the sample standard deviation over the mean. Below three purchases there is no
rhythm: gap columns are null.

An observation window (`window_months`) limits the metrics alone: totals, purchases, diversity, gaps, margin, discounts and
returns. Who is a customer, first and last purchase, recency and tenure, what is most frequent, windows that a column names
itself and the inputs of BTYD models are of all history. A customer without a purchase in the window stays, with 0 purchases.
"""

import datetime as dt

import dataframely as dy

from lifecycle_assets.contracts import count, date, money, number, table, text
from lifecycle_assets.features.per_customer import PerCustomer
from lifecycle_assets.settings import Customer
from lifecycle_assets.sql import Sql, load

FIRST_DAY = dt.date(1900, 1, 1)


class OrderColumns(dy.Schema):
    """The columns that this table and the customer features have in common."""

    purchase_total = money("Sum of the order amounts in the observation window, returns taken off.")
    visit_frequency = count("Purchases in the observation window: orders that come to more than 0.", "orders")
    avg_ticket = number("purchase_total / visit_frequency; 0 without a purchase in the window.", "currency")
    product_diversity = count("Distinct products bought in the observation window.", "products")
    category_diversity = count("Distinct categories bought in the observation window.", "categories")
    recency_days = count("as_of - last purchase.", "days")
    tenure_days = count("as_of - first purchase.", "days")
    median_gap_days = number(
        "Median days between purchases in the observation window; null below 3 purchases.",
        "days",
        nullable=True,
        minimum=0,
    )
    gap_cv = number("Spread of the gaps over their mean; null below 3 purchases.", "ratio", nullable=True, minimum=0)
    margin_total = money("Sum of margins in the observation window; null when any cost is unknown.", nullable=True)
    discount_share = number(
        "Discounts over the undiscounted value of what was bought; null when that is 0.",
        "share",
        nullable=True,
        minimum=0,
    )
    return_rate = number(
        "Units returned per unit bought, of lines with a product_id (in a shop without any: of all lines), so that "
        "postage and the like are no units; above 1 when earlier purchases come back; null when none were bought.",
        "share",
        nullable=True,
        minimum=0,
    )
    primary_category = text("Category with most lines bought.")
    favourite_channel = text("Sales channel with most purchases.")
    country = text("Country with most purchases.")
    orders_30d = count("Purchases in the last 30 days.", "orders")
    orders_90d = count("Purchases in the last 90 days.", "orders")
    orders_365d = count("Purchases in the last 365 days.", "orders")
    spend_90d = money("Amount of the last 90 days, returns taken off.")
    spend_prev_90d = money("Amount of the 90 days before those.")


@table("features.customer_orders")
class CustomerOrders(PerCustomer, OrderColumns):
    """One row per customer: everything that follows from their order lines alone."""

    first_purchase_date = date("Date of the first purchase.")
    last_purchase_date = date("Date of the last purchase.")
    purchase_days = count("Distinct days with a purchase: the occasions of the BTYD models.", "days", minimum=1)
    purchase_amount = money("Amount of all purchases (orders that come to more than 0).", minimum=0)
    first_day_amount = money("Of this, the amount of the first purchase day.", minimum=0)
    purchase_margin = money("Margin of all purchases; null when any of their costs is unknown.", nullable=True)
    first_day_margin = money("Of this, the margin of the first purchase day.", nullable=True)


def customer_orders(shop: str, as_of: dt.date, settings: Customer) -> Sql:
    """The order-derived features of each customer as of `as_of`: a statement for CustomerOrders."""
    since = window_start(as_of, settings.window_months)
    return load("lifecycle_assets.features", "customer_orders", shop=shop, as_of=as_of, since=since)


def window_start(as_of: dt.date, months: int | None) -> dt.date:
    """First day of the observation window: the day after the same day `months` months before; without months, ever."""
    if months is None:
        return FIRST_DAY
    year, month = divmod(as_of.year * 12 + as_of.month - 1 - months, 12)
    last_of_month = (dt.date(year + (month == 11), (month + 1) % 12 + 1, 1) - dt.timedelta(days=1)).day
    return dt.date(year, month + 1, min(as_of.day, last_of_month)) + dt.timedelta(days=1)
