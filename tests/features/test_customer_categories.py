"""What each customer bought from each category, counted line by line in plain Python."""

import datetime as dt
from collections import defaultdict

import pytest
from made_shop import AS_OF, SHOP, run
from test_order_features import raw

from lifecycle_assets.features.customer_categories import CustomerCategories, customer_categories
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.inputs.contracts import OrderLines, Products


@pytest.mark.parametrize("as_of", [AS_OF, AS_OF - dt.timedelta(days=200)])
def test_lines_are_counted_by_category_up_to_as_of(as_of: dt.date) -> None:
    given = {IdentityMap.name: IdentityMap.empty(), **raw(4)}
    of_product = dict(given[Products.name].select("product_id", "category").rows())
    dates = defaultdict(list)
    for row in given[OrderLines.name].rows(named=True):
        category = row["category"] or of_product.get(row["product_id"])
        counts = row["status"] == "completed" and row["quantity"] > 0 and row["order_date"] <= as_of
        if counts and row["customer_id"] and category:
            dates[row["customer_id"], category].append(row["order_date"])
    made = run(customer_categories(SHOP, as_of), CustomerCategories, given)
    rows = made.select("customer_id", "category", "lines", "first_date").rows()
    assert rows == [(*key, len(days), min(days)) for key, days in sorted(dates.items())]
    assert len(rows) > 20
