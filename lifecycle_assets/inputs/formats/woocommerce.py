"""WooCommerce order exports with one row per item, of the plugins that most shops use: Advanced Order Export (columns such as
`Order Number`, `Item Cost`) and the item formats of Customer/Order/Coupon Export and Order Import Export (`order_id`,
`item_subtotal`).

Money: `Item Cost` is the price paid per unit without tax, after discounts; where the export has the line's `item_subtotal` and
`item_total`, the first is the price before and the second after the discount. Refunded units are taken off the line's
quantity (`Quantity (- Refund)`) or, where only the refunded amount is known, off its amount - at the order's date, the only
one there is. Orders that are processed or on hold count as sales; failed, cancelled and unpaid drafts do not.

Guests have no customer id; they, and all where the export has none, are known by the SHA-256 of their e-mail address.
"""

import polars as pl

from lifecycle_assets.hashing import sha256
from lifecycle_assets.inputs.mapping import Format, Recipe, Scan, normal

NAMES = ("order_lines", "orders", "orders*", "woocommerce*", "wc-orders*", "order_export*")
COLUMNS = {
    "Order Number": "order_id",
    "order_number": "order_id",
    "Order ID": "order_id",
    "Customer User ID": "customer_id",
    "customer_user": "customer_id",
    "Order Date": "ordered_at",
    "date": "ordered_at",
    "SKU": "product_id",
    "item_sku": "product_id",
    "Item Name": "item_name",
    "Product Name": "item_name",
    "Name": "item_name",
    "Quantity (- Refund)": "quantity",
    "Quantity": "quantity",
    "item_quantity": "quantity",
    "Item Cost Before Discount": "list_price",
    "Item Cost": "unit_price",
    "item_subtotal": "line_before",
    "item_total": "line_after",
    "item_refunded": "line_refund",
    "Category": "category",
    "Order Status": "status",
    "Country Code (Billing)": "country",
    "billing_country": "country",
    "Order Currency": "currency",
    "order_currency": "currency",
    "Coupon Code": "coupon_code",
    "Coupons Used": "coupon_code",
    "Email (Billing)": "email",
    "billing_email": "email",
}
STATUSES: dict[str, str | None] = {
    **dict.fromkeys(
        ("completed", "processing", "on hold", "on-hold", "completado", "procesando", "en espera"), "completed"
    ),
    **dict.fromkeys(
        ("concluído", "processando", "aguardando", "wc-completed", "wc-processing", "wc-on-hold"), "completed"
    ),
    **dict.fromkeys(("refunded", "reembolsado", "wc-refunded"), "refunded"),
    **dict.fromkeys(
        ("cancelled", "failed", "pending payment", "pending", "draft", "checkout-draft", "trash"), "cancelled"
    ),
    **dict.fromkeys(("cancelado", "fallido", "malsucedido", "pendiente de pago", "pagamento pendente"), "cancelled"),
    **dict.fromkeys(("wc-cancelled", "wc-failed", "wc-pending", "wc-checkout-draft"), "cancelled"),
}


def settle(lines: pl.DataFrame) -> pl.DataFrame:
    """Who bought what, at which price and discount."""
    quantity = pl.col("quantity").fill_null(1.0)
    units = pl.when(quantity == 0).then(1.0).otherwise(quantity)
    price = pl.coalesce("list_price", "unit_price", pl.col("line_before") / units, pl.col("line_after") / units)
    paid = pl.coalesce(quantity * pl.col("unit_price"), "line_after", quantity * price)
    hashed = sha256(lines["email"].str.to_lowercase())
    account = pl.when(pl.col("customer_id") != "0").then("customer_id")
    return lines.with_columns(
        quantity=quantity,
        unit_price=price,
        # An export in whole cents may have paid more than price times quantity by a rounding: that is no discount.
        discount_amount=(quantity * price - paid).clip(lower_bound=0).round(4)
        + pl.col("line_refund").abs().fill_null(0),
        product_id=pl.coalesce("product_id", "item_name"),
        customer_id=pl.coalesce(account, hashed),
    )


def customers(scan: Scan) -> pl.LazyFrame:
    """One row per customer: what the latest order says. The export knows nothing of consent."""
    orders = scan("order_lines").with_columns(scan.ordered_at().alias("at"))
    have = {normal(name): name for name in reversed(orders.collect_schema().names())}

    def column(*names: str) -> pl.Expr:
        found = [pl.col(have[normal(name)]).cast(pl.String).str.strip_chars() for name in names if normal(name) in have]
        return pl.coalesce(*found) if found else pl.lit(None, dtype=pl.String)

    latest = (
        orders.select(
            email=column("Email (Billing)", "billing_email").str.to_lowercase(),
            account=column("Customer User ID", "customer_user", "customer_id"),
            phone=column("Phone (Billing)", "billing_phone"),
            first_name=column("First Name (Billing)", "billing_first_name"),
            country=column("Country Code (Billing)", "billing_country"),
            at="at",
        )
        .filter(pl.col("email").is_not_null())
        .collect()
    )
    account = pl.when(pl.col("account") != "0").then("account")
    return (
        latest.with_columns(customer_id=pl.coalesce(account, sha256(latest["email"])))
        .sort("customer_id", "at", descending=[False, True], nulls_last=True, maintain_order=True)
        .group_by("customer_id", maintain_order=True)
        .agg(pl.col("email", "phone", "first_name", "country").drop_nulls().first())
        .lazy()
    )


WOOCOMMERCE = Format(
    "woocommerce",
    {
        "order_lines": Recipe(
            names=NAMES,
            columns=COLUMNS,
            values={"status": STATUSES},
            helpers={
                "email": pl.String(),
                "item_name": pl.String(),
                "list_price": pl.Float64(),
                "line_before": pl.Float64(),
                "line_after": pl.Float64(),
                "line_refund": pl.Float64(),
            },
            supplies=("unit_price",),
            finish=settle,
        ),
        "customers": Recipe(build=customers, build_from=("order_lines",)),
    },
    marks=(
        ("Order Number", "Order Status", "Order Date", "Item Cost"),
        ("order_number", "billing_email", "item_name", "item_total"),
        ("order_id", "status", "item_sku", "item_total"),
    ),
)
