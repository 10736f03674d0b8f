"""The raw tables: a shop's own data after mapping, parsing and quarantine.

Only order lines are required; every other table is empty with its full schema when the shop has nothing to fill it.
A column's metadata may hold `default` (what an absent or empty value becomes), `event` (something that has happened, so
not in the future) and `personal` (the value never appears in a message or a log).
"""

import datetime as dt

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import (
    as_of_column,
    count,
    flag,
    key,
    number,
    personal,
    shop_key,
    table,
    text,
    timestamp,
)
from lifecycle_assets.contracts import date as day

EARLIEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
LARGEST = 1e9
STATUSES = ["completed", "refunded", "cancelled"]
CHANNELS = ["email", "whatsapp", "sms", "push", "in_app", "ads", "call", "postal"]
WEB_EVENTS = ["view", "search", "add_to_cart", "remove_from_cart", "checkout", "purchase"]


def _at(description: str, *, nullable: bool = False, event: bool = True) -> dy.Datetime:
    metadata = {"unit": "UTC", "event": event and not nullable}
    return dy.Datetime(nullable=nullable, time_zone="UTC", min=EARLIEST, description=description, metadata=metadata)


@table("raw.order_lines")
class OrderLines(dy.Schema):
    """Every line of every order as the shop's export gives it, cleaned. Sales are the lines whose status is completed;
    returns are lines of negative quantity at their own date."""

    shop_id = shop_key()
    as_of = as_of_column()
    line_no = dy.Int64(primary_key=True, min=1, description="Position of the line in the input.")
    line_id = text("The shop's own id of the line, where it has one; then unique.")
    order_id = text("The order that the line belongs to.", nullable=False)
    customer_id = text("The buyer; null for a guest, who counts for products and forecasts but not for customers.")
    ordered_at = _at("When the order was placed (a return: when it was returned).")
    order_date = day("The local date of ordered_at in the shop's time zone.")
    product_id = text("The product; null when the export has order totals only, or for a charge that is no product.")
    quantity = dy.Float64(
        min=-LARGEST, max=LARGEST, description="Units; negative = returned.", metadata={"unit": "units", "default": 1.0}
    )
    unit_price = number("List or paid price before discount_amount.", "currency", minimum=0, maximum=LARGEST)
    discount_amount = dy.Float64(
        min=0, max=LARGEST, description="Discount on the whole line.", metadata={"unit": "currency", "default": 0.0}
    )
    unit_cost = number("What one unit costs the shop.", "currency", nullable=True, minimum=0, maximum=LARGEST)
    amount = dy.Decimal(
        18, 4, description="quantity * unit_price - discount_amount, exact.", metadata={"unit": "currency"}
    )
    category = text("Product category at the time of the order; else that of the product.")
    status = dy.String(
        check=lambda column: column.is_in(STATUSES),
        description=f"One of: {', '.join(STATUSES)}; only completed lines are sales.",
        metadata={"default": "completed"},
    )
    sales_channel = text("Where the order came from: web, store, app ...")
    country = text("Country of the order.")
    currency = text("Currency of the line; another one than the shop's is quarantined.")
    coupon_code = text("Coupon used.")
    message_id = text("The message that led to the order, where the shop records it.")
    shipped_at = _at("When the line was sent to the buyer, where the shop records it.", nullable=True)


@table("raw.customers", needs=("raw.customers",))
class Customers(dy.Schema):
    """Who the customers are. Consent that is not stated is consent not given."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    email = personal("E-mail address.")
    phone = personal("Telephone number.")
    first_name = personal("First name.")
    birth_date = dy.Date(nullable=True, description="Date of birth.", metadata={"personal": True})
    country = text("Country.")
    timezone = text("IANA time zone; else the shop's.")
    locale = text("Language and region, e.g. es-MX.")
    created_at = _at("When the account was made.", nullable=True)
    preferred_channel = text("Stated preference.", values=CHANNELS)
    plan = text("Current plan.")
    plan_started_at = _at("Since when.", nullable=True)
    consent_email = flag("May be sent e-mail.", nullable=True)
    consent_sms = flag("May be sent SMS.", nullable=True)
    consent_whatsapp = flag("May be sent WhatsApp messages.", nullable=True)
    consent_push = flag("May be sent push messages.", nullable=True)
    consent_ads = flag("May be part of an advertising audience.", nullable=True)
    attributes = personal("Any further columns of the input, as a JSON object.")


@table("raw.consents", needs=("raw.consents",))
class Consents(dy.Schema):
    """Consent events; the latest per customer and channel beats the flags of customers; of two at the same moment, the
    withdrawal. A withdrawal whose moment cannot be read counts as of the last moment of as_of."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    channel = dy.String(primary_key=True, check=lambda c: c.is_in(CHANNELS), description="The channel.")
    granted = dy.Bool(primary_key=True, description="True: given, false: withdrawn.")
    occurred_at = dy.Datetime(
        primary_key=True, time_zone="UTC", min=EARLIEST, description="When.", metadata={"unit": "UTC", "event": True}
    )
    source = text("Where it was recorded.")


@table("raw.suppressions", needs=("raw.suppressions",))
class Suppressions(dy.Schema):
    """Who must not be contacted, by customer or by hashed e-mail address, on one channel or on all. A channel that is not
    known becomes `all`, so that the person stays suppressed."""

    shop_id = shop_key(unique=False)
    as_of = as_of_column(unique=False)
    customer_id = text("The customer.")
    email_sha256 = dy.String(
        nullable=True,
        regex="^[0-9a-f]{64}$",
        description="SHA-256 of the trimmed, lower-cased e-mail address, in hex; a plain address is hashed when it is read.",
    )
    channel = dy.String(
        check=lambda c: c.is_in([*CHANNELS, "all"]), description="A channel or `all`.", metadata={"default": "all"}
    )
    reason = text("Why.")
    since = _at("Since when; null: ever since, also for what cannot be read or lies in the future.", nullable=True)

    @dy.rule()
    def someone(cls) -> pl.Expr:  # noqa: N805
        return cls.customer_id.col.is_not_null() | cls.email_sha256.col.is_not_null()


@table("raw.erasure_requests", needs=("raw.erasure_requests",))
class ErasureRequests(dy.Schema):
    """Who asked to be forgotten."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    requested_at = _at("When; null where not stated, not readable or in the future: the request stands.", nullable=True)


@table("raw.identities", needs=("raw.identities",))
class Identities(dy.Schema):
    """Links between a customer and other ids of the same person."""

    shop_id = shop_key(unique=False)
    as_of = as_of_column(unique=False)
    customer_id = text("The customer.", nullable=False)
    anonymous_id = text("An id from before the customer was known.")
    email = personal("E-mail address.")
    phone = personal("Telephone number.")


@table("raw.products", needs=("raw.products",))
class Products(dy.Schema):
    """The catalogue."""

    shop_id = shop_key()
    as_of = as_of_column()
    product_id = key("The product.")
    name = text("Name.")
    category = text("Category.")
    brand = text("Brand.")
    metadata = text("Free text about the product, for content-based similarity.")
    price = number("List price.", "currency", nullable=True, minimum=0)
    unit_cost = number("What one unit costs the shop.", "currency", nullable=True, minimum=0)
    inventory_level = number("Units in stock.", "units", nullable=True)
    launched_at = _at("First on sale.", nullable=True)


@table("raw.web_events", needs=("raw.web_events",))
class WebEvents(dy.Schema):
    """What visitors did in the shop's site or app."""

    shop_id = shop_key()
    as_of = as_of_column()
    event_id = key("The event.")
    customer_id = text("The customer, where known.")
    anonymous_id = text("The visitor, where not.")
    session_id = text("The visit.")
    event_type = text("What happened.", nullable=False, values=WEB_EVENTS)
    product_id = text("The product.")
    category = text("Its category.")
    occurred_at = _at("When.")
    device = text("Device.")
    referrer = text("Where the visitor came from.")
    scroll_depth = number("How far the page was scrolled.", "share 0..1", nullable=True)
    seconds_on_page = number("Time on the page.", "seconds", nullable=True, minimum=0)
    value = number("Value of the event.", "currency", nullable=True)


@table("raw.engagement", needs=("raw.engagement",))
class Engagement(dy.Schema):
    """Every message sent and what came of it."""

    shop_id = shop_key()
    as_of = as_of_column()
    message_id = key("The message.")
    customer_id = text("Who got it.", nullable=False)
    channel = text("How.", nullable=False, values=CHANNELS)
    content_type = text("Kind of content.")
    campaign_id = text("Campaign.")
    offer_id = text("Offer.")
    variant = text("Variant of an experiment.")
    discount_pct = number("Discount offered.", "percent", nullable=True, minimum=0, maximum=100)
    propensity = number("Probability with which routing chose this message.", "share 0..1", nullable=True, minimum=0)
    sent_at = _at("Sent.")
    delivered_at = _at("Delivered.", nullable=True)
    opened_at = _at("First opened.", nullable=True)
    clicked_at = _at("First clicked.", nullable=True)
    converted_at = _at("Converted.", nullable=True)
    unsubscribed_at = _at("Unsubscribed.", nullable=True)
    order_id = text("The order that came of it.")
    revenue = number("What it brought.", "currency", nullable=True)


@table("raw.campaign_assignments", needs=("raw.campaign_assignments",))
class CampaignAssignments(dy.Schema):
    """Who was in which arm of a campaign."""

    shop_id = shop_key()
    as_of = as_of_column()
    campaign_id = key("The campaign.")
    customer_id = key("The customer.")
    treatment = count("1 treated, 0 control.", "0/1", maximum=1)
    assigned_at = _at("When assigned.")
    outcome = count("1 when the customer responded.", "0/1", nullable=True, maximum=1)
    outcome_value = number("Value of the response.", "currency", nullable=True)
    contaminated = count("1 when a control was reached all the same.", "0/1", nullable=True, maximum=1)


@table("raw.survey_responses", needs=("raw.survey_responses",))
class SurveyResponses(dy.Schema):
    """Answers to surveys."""

    shop_id = shop_key()
    as_of = as_of_column()
    response_id = key("The response.")
    customer_id = text("Who answered.")
    question = text("The question.")
    answer = number("The answer.", "0..10", minimum=0, maximum=10)
    responded_at = _at("When.")
    groups = personal("Any further columns of the input, as a JSON object.")


@table("raw.support_tickets", needs=("raw.support_tickets",))
class SupportTickets(dy.Schema):
    """Complaints and questions."""

    shop_id = shop_key()
    as_of = as_of_column()
    ticket_id = key("The ticket.")
    customer_id = text("The customer.", nullable=False)
    opened_at = _at("Opened.")
    closed_at = _at("Closed.", nullable=True)
    topic = text("Topic.")


@table("raw.payment_events", needs=("raw.payment_events",))
class PaymentEvents(dy.Schema):
    """Payments and their failures."""

    shop_id = shop_key()
    as_of = as_of_column()
    payment_id = key("The payment.")
    customer_id = text("The customer.", nullable=False)
    occurred_at = _at("When.")
    status = text("What came of it.", nullable=False, values=["paid", "failed", "late"])


@table("raw.subscriptions", history=True, needs=("raw.subscriptions",))
class Subscriptions(dy.Schema):
    """Subscriptions and prepaid balances. The input knows the latest balance and usage alone; the history keeps each
    night's."""

    shop_id = shop_key()
    as_of = as_of_column()
    subscription_id = key("The subscription.")
    customer_id = text("The customer.", nullable=False)
    plan = text("Plan.")
    started_at = _at("Started, or to start.", event=False)
    cancelled_at = _at("Cancelled.", nullable=True)
    balance = number("Prepaid balance.", "currency", nullable=True)
    topped_up_at = _at("Last top-up.", nullable=True)
    quota = number("What the plan includes.", "units", nullable=True, minimum=0)
    used = number("What was used of it.", "units", nullable=True, minimum=0)


@table("raw.price_history", needs=("raw.price_history",))
class PriceHistory(dy.Schema):
    """Prices and units by day."""

    shop_id = shop_key(unique=False)
    as_of = as_of_column(unique=False)
    product_id = text("The product.", nullable=False)
    date = day("The day.")
    price = number("Price on that day.", "currency", minimum=0)
    units_sold = number("Units sold.", "units", nullable=True)
    competitor_price = number("Competitor's price.", "currency", nullable=True, minimum=0)
    inventory_level = number("Units in stock.", "units", nullable=True)
    sales_channel = text("Sales channel.")
    country = text("Country.")
    promotion = text("Promotion running that day: display, mailer ...")


@table("raw.costs", needs=("raw.costs",))
class Costs(dy.Schema):
    """Costs by day; may be negative."""

    shop_id = shop_key(unique=False)
    as_of = as_of_column(unique=False)
    date = day("The day.")
    cost = number("Cost of the day.", "currency")
    cost_type = text("Kind of cost.")


@table("raw.quarantine")
class Quarantine(dy.Schema):
    """Every input row that was set aside, whole, with the reason: rows read = rows kept + rows here."""

    shop_id = shop_key()
    as_of = as_of_column()
    table = key("The raw table that the row was meant for.")
    row_number = dy.Int64(primary_key=True, min=1, description="Position of the row in the input.")
    column = text("The column that broke a rule; the first where several did.")
    rule = text(
        "The rule that was broken, `left_out` for rows that the mapping leaves out, or `erased`.", nullable=False
    )
    message = text("What is wrong, in words.", nullable=False)
    row = personal("The row as it was read, as a JSON object; empty for a row of an erased person.", nullable=False)
    run = text("The run that set it aside.", nullable=False)


@table("raw.input_reads")
class InputReads(dy.Schema):
    """Per raw table: where it was read from and what came of its rows; rows_read = rows_kept + rows_quarantined."""

    shop_id = shop_key()
    as_of = as_of_column()
    table = key("The raw table.")
    source = text("File, folder or database table; null when the shop has none.")
    rows_read = count("Rows in the input.", "rows")
    rows_kept = count("Rows in the raw table.", "rows")
    rows_quarantined = count("Rows set aside, left-out ones included.", "rows")
    rows_left_out = count("Of these, rows that the mapping leaves out on purpose, and those of erased people.", "rows")
    first_at = timestamp("Earliest event kept.", nullable=True)
    last_at = timestamp("Latest event kept.", nullable=True)
    fingerprint = text("Hash of the input's names, sizes and times or of its rows.")
