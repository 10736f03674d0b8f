"""UCI Online Retail and Online Retail II: a British wholesaler of gifts, 2009 to 2011.

An invoice that begins with C is a return: its lines have negative quantities and are kept, at their own date. Postage,
carriage, manual corrections, discounts and samples are lines of an order without being a product: their product_id is null.
Fees, commissions, bad debts and tests are no sales to anyone and are left out. The product catalogue is made from the
lines: a product's name is the description that most of its sold lines carry (ties: first in the alphabet), since notes such as
"damaged" stand in that column as well.
"""

import polars as pl

from lifecycle_assets.inputs.mapping import Format, Recipe, Scan
from lifecycle_assets.settings import LeaveOut

SERVICE_CODES = ("POST", "DOT", "C2", "C3", "M", "D", "S", "PADS")
NO_SALES = ("BANK CHARGES", "AMAZONFEE", "CRUK", "B", "ADJUST", "ADJUST2", "TEST001", "TEST002")
NAMES = ("order_lines", "orders", "online_retail*", "online retail*", "data")
COLUMNS = {
    "InvoiceNo": "order_id",
    "Invoice": "order_id",
    "StockCode": "product_id",
    "Quantity": "quantity",
    "InvoiceDate": "ordered_at",
    "UnitPrice": "unit_price",
    "Price": "unit_price",
    "CustomerID": "customer_id",
    "Customer ID": "customer_id",
    "Country": "country",
}


def without_services(lines: pl.DataFrame) -> pl.DataFrame:
    """Charges that are no product lose their product_id."""
    is_service = pl.col("product_id").str.to_uppercase().is_in(SERVICE_CODES)
    return lines.with_columns(product_id=pl.when(~is_service).then("product_id"))


def products(scan: Scan) -> pl.LazyFrame:
    """One row per stock code that was sold, with its most frequent description and its median price."""
    lines = scan("order_lines")
    price = "UnitPrice" if "UnitPrice" in lines.collect_schema() else "Price"
    code = pl.col("StockCode").cast(pl.String).str.strip_chars()
    sold = lines.select(
        product_id=code,
        name=pl.col("Description").cast(pl.String).str.strip_chars(),
        quantity=pl.col("Quantity").cast(pl.Float64, strict=False),
        price=pl.col(price).cast(pl.Float64, strict=False),
    ).filter(
        (pl.col("quantity") > 0)
        & (pl.col("price") > 0)
        & ~pl.col("product_id").str.to_uppercase().is_in([*SERVICE_CODES, *NO_SALES])
    )
    named = (
        sold.group_by("product_id", "name")
        .agg(pl.len().alias("lines"))
        .sort("product_id", "lines", "name", descending=[False, True, False], nulls_last=True)
        .group_by("product_id", maintain_order=True)
        .agg(pl.col("name").first())
    )
    return named.join(sold.group_by("product_id").agg(pl.col("price").median()), on="product_id").sort("product_id")


ONLINE_RETAIL = Format(
    "online_retail",
    {
        "order_lines": Recipe(
            names=NAMES,
            columns=COLUMNS,
            finish=without_services,
            leave_out=(
                LeaveOut(
                    column="product_id", values=NO_SALES, reason="fees, commissions, bad debts and tests are no sales"
                ),
            ),
        ),
        "products": Recipe(build=products, build_from=("order_lines",)),
    },
    marks=(
        ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"),
        ("Invoice", "StockCode", "Quantity", "InvoiceDate", "Price", "Customer ID"),
    ),
)
