"""Shopify's orders export (Orders > Export): one row per line item, the order's own fields on its first row only.

Money: `Lineitem price` is the list price. What was taken off the order's lines altogether is their gross value less `Subtotal`
where that is given (so that a discount on shipping does not count), else `Discount Amount`; what `Lineitem discount` does not
already explain is spread over the lines in proportion to their value, exactly to the last ten-thousandth. The export
names neither the lines nor the date of a partial refund: `Refunded Amount` lowers the order's lines in the same way, at the
order's date. Orders that are not paid yet (cash on delivery, bank transfer) count as sales; cancelled, voided and expired
ones do not.

The export has no customer id, and an address must not become one: customers are known by the SHA-256 of their e-mail
address (trimmed, lower case). Consent is what `Accepts Marketing` said on the customer's latest order: where that order says
nothing, none is given, whatever an older one said.
"""

import polars as pl

from lifecycle_assets.hashing import sha256
from lifecycle_assets.inputs.formats.spread import spread
from lifecycle_assets.inputs.mapping import Format, Recipe, Scan

NAMES = ("order_lines", "orders", "orders_export*", "shopify*")
ORDER_FIELDS = (
    "Email",
    "Financial Status",
    "Currency",
    "Subtotal",
    "Discount Code",
    "Discount Amount",
    "Refunded Amount",
    "Cancelled at",
    "Fulfilled at",
    "Source",
    "Shipping Country",
    "Billing Country",
    "Customer ID",
)
COLUMNS = {
    "Name": "order_id",
    "Customer ID": "customer_id",
    "Created at": "ordered_at",
    "Lineitem sku": "product_id",
    "Lineitem name": "item_name",
    "Lineitem quantity": "quantity",
    "Lineitem price": "unit_price",
    "Lineitem discount": "discount_amount",
    "Financial Status": "status",
    "Source": "sales_channel",
    "Shipping Country": "country",
    "Currency": "currency",
    "Discount Code": "coupon_code",
    "Email": "email",
    "Subtotal": "subtotal",
    "Discount Amount": "order_discount",
    "Refunded Amount": "order_refund",
    "Cancelled at": "cancelled_at",
    "Fulfilled at": "shipped_at",
}
STATUSES: dict[str, str | None] = {
    "paid": "completed",
    "partially_paid": "completed",
    "partially_refunded": "completed",
    "pending": "completed",
    "authorized": "completed",
    "refunded": "refunded",
    "voided": "cancelled",
    "expired": "cancelled",
}


def fill_down(rows: pl.DataFrame) -> pl.DataFrame:
    """The order's fields on every one of its rows; some exports leave even `Name` to the first one."""
    order_fields = [name for name in ORDER_FIELDS if name in rows.columns]
    return rows.with_columns(pl.col("Name").forward_fill()).with_columns(
        pl.col(name).drop_nulls().first().over("Name") for name in order_fields
    )


def settle(lines: pl.DataFrame) -> pl.DataFrame:
    """Who bought, what counts as a sale, and the order's discount and refund on its lines."""
    value = (pl.col("quantity") * pl.col("unit_price") - pl.col("discount_amount")).clip(lower_bound=0)
    gross = (pl.col("quantity") * pl.col("unit_price")).sum().over("order_id")
    on_lines = pl.col("discount_amount").sum().over("order_id")
    by_subtotal = gross - pl.col("subtotal")
    taken_off = (
        pl.when(by_subtotal.is_between(-1e-9, gross)).then(by_subtotal).otherwise(pl.col("order_discount").fill_null(0))
    )
    lines = lines.with_columns(
        pl.col("quantity").fill_null(1.0),
        pl.col("discount_amount").fill_null(0.0),
        product_id=pl.coalesce("product_id", "item_name"),
        customer_id=pl.coalesce("customer_id", sha256(lines["email"].str.to_lowercase())),
        status=pl.when(pl.col("cancelled_at").is_not_null()).then(pl.lit("cancelled")).otherwise("status"),
    )
    discount = (taken_off - on_lines).clip(lower_bound=0)
    lines = spread(lines.with_columns(_value=value, _total=discount), "order_id", "_total", "_value", "_share")
    lines = lines.with_columns(pl.col("discount_amount") + pl.col("_share"))
    whole = value.sum().over("order_id")
    refund = pl.when(pl.col("status") == "completed").then(
        pl.min_horizontal(pl.col("order_refund").fill_null(0), whole)
    )
    lines = spread(
        lines.with_columns(_value=value, _total=refund.fill_null(0)), "order_id", "_total", "_value", "_share"
    )
    return lines.with_columns(pl.col("discount_amount") + pl.col("_share"))


def customers(scan: Scan) -> pl.LazyFrame:
    """One row per e-mail address: consent as the latest order has it, all else as the latest order that states it."""
    lines = _lines(scan)
    have = lines.collect_schema()
    email = _column(have, "Email").str.strip_chars().str.to_lowercase()
    wanted = {
        "email": email,
        "customer_id": _column(have, "Customer ID"),
        "phone": pl.coalesce(_column(have, "Phone"), _column(have, "Billing Phone"), _column(have, "Shipping Phone")),
        "first_name": pl.coalesce(_column(have, "Billing Name"), _column(have, "Shipping Name")).str.extract(r"^(\S+)"),
        "country": pl.coalesce(_column(have, "Shipping Country"), _column(have, "Billing Country")),
        "consent_email": _column(have, "Accepts Marketing"),
        "at": pl.col("at"),
    }
    orders = (
        lines.select("Name", **wanted)
        .group_by("Name", maintain_order=True)
        .agg(pl.all().drop_nulls().first())
        .drop("Name")
    )
    latest = (
        orders.filter(pl.col("email").is_not_null())
        # Of two orders at the same moment, the one that gives no consent.
        .sort("at", "consent_email", descending=[True, False], nulls_last=[True, False], maintain_order=True)
        .group_by("email", maintain_order=True)
        .agg(pl.all().exclude("consent_email").drop_nulls().first(), pl.col("consent_email").first())
        .collect()
    )
    known = latest.with_columns(customer_id=pl.coalesce("customer_id", sha256(latest["email"])))
    # Of several addresses of one customer, the one of the latest order.
    return known.unique("customer_id", keep="first", maintain_order=True).drop("at").lazy()


def products(scan: Scan) -> pl.LazyFrame:
    """One row per product sold, by SKU and else by name, as its latest line has it."""
    lines = _lines(scan)
    have = lines.collect_schema()
    wanted = {
        "product_id": pl.coalesce(_column(have, "Lineitem sku"), _column(have, "Lineitem name")).str.strip_chars(),
        "name": _column(have, "Lineitem name"),
        "brand": _column(have, "Vendor"),
        "price": _column(have, "Lineitem price"),
        "at": pl.col("at"),
    }
    return (
        lines.select(**wanted)
        .filter(pl.col("product_id").is_not_null())
        .sort("product_id", "at", descending=[False, True], nulls_last=True, maintain_order=True)
        .group_by("product_id", maintain_order=True)
        .agg(pl.all().exclude("at").drop_nulls().first())
    )


def _lines(scan: Scan) -> pl.LazyFrame:
    """The export's rows, each with its order's `Name` and its moment, `at`."""
    lines = scan("order_lines").with_columns(pl.col("Name").forward_fill(), scan.ordered_at().alias("at"))
    return lines.with_columns(pl.col("at").drop_nulls().first().over("Name"))


def _column(have: pl.Schema, name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String) if name in have else pl.lit(None, dtype=pl.String)


SHOPIFY = Format(
    "shopify",
    {
        "order_lines": Recipe(
            names=NAMES,
            columns=COLUMNS,
            values={"status": STATUSES},
            helpers={
                "email": pl.String(),
                "item_name": pl.String(),
                "subtotal": pl.Float64(),
                "order_discount": pl.Float64(),
                "order_refund": pl.Float64(),
                "cancelled_at": pl.Datetime("us", "UTC"),
            },
            together="Name",
            prepare=fill_down,
            finish=settle,
        ),
        "customers": Recipe(build=customers, build_from=("order_lines",)),
        "products": Recipe(build=products, build_from=("order_lines",)),
    },
    marks=(("Name", "Financial Status", "Lineitem quantity", "Lineitem price"),),
)
