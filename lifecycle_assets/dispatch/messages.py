"""What each message says: rendered once per programme, step, offer and language, then filled in for everyone at once.

A template is rendered for its group with a mark where a personal value belongs (see rendering); the text between the marks is
then joined with the customers' values, column by column. A customer's value is therefore never read as a template, and in
HTML it is escaped like everything else. Languages: the customer's (locale), else the shop's, else English.

A message that breaks a limit of its channel (see message_limits) is written without the customer's name; one that breaks it
even so says so in `over_limit` and is put aside at export.
Messages of a batch that went out already stay as they were sent, whatever a repeated run of the night renders.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import (
    as_of_column,
    count,
    key,
    money,
    number,
    personal,
    shop_key,
    table,
    text,
    timestamp,
)
from lifecycle_assets.dispatch import sms
from lifecycle_assets.dispatch.message_limits import measured
from lifecycle_assets.dispatch.people import PUSH_TOKEN
from lifecycle_assets.dispatch.rendering import (
    FIRST_NAME,
    MARKS,
    MESSAGE_KEY,
    PRODUCTS,
    SMS,
    Group,
    Rendered,
    Wording,
    as_written,
    found,
    languages,
    render,
)
from lifecycle_assets.errors import DispatchError
from lifecycle_assets.hashing import content_hash, digests
from lifecycle_assets.settings import Shop

GROUP = tuple(Group.__dataclass_fields__)
NAME_LENGTH = {SMS: 30}  # the longest first name that a channel's text spells out
LONGEST_NAME = 80
PRODUCT_NAMES = tuple(mark[1:-1] for mark in PRODUCTS)


@table("dispatch.messages", history=True)
class Messages(dy.Schema):
    """Tonight's messages as they are sent, one per customer at most."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("Who gets it.")
    idempotency_key = text(
        "Hash of shop, customer, programme, step and as_of; the sending tool's message id.", nullable=False
    )
    batch_id = text("The batch that carries it: the hash of the batch's content.", nullable=False)
    decision_id = text("The decision that it carries out.", nullable=False)
    programme = text("The programme.", nullable=False)
    step = dy.Int64(min=1, description="The programme's step.", metadata={"unit": "number"})
    offer_id = text("The offer.", nullable=False)
    content_type = text("Kind of content.", nullable=False)
    channel = text("How.", nullable=False)
    variant = text("Arm of the programme's experiment: holdout, treatment, or which variant of it.")
    address = personal(
        "Where to: e-mail address, telephone number, or the id under which the sending tool holds it.", nullable=False
    )
    send_at = timestamp("When.")
    send_at_local = dy.Datetime(description="The same in the customer's time zone, else the shop's.")
    expires_at = timestamp("Not to be sent later than this.")
    discount_pct = number("Discount offered.", "percent", minimum=0, maximum=100)
    expected_value = money("Expected margin less discount and cost of the message, from prior response rates.")
    policy_version = text("The policy that decided it.", nullable=False)
    language = text("Language of the text.", nullable=False)
    encoding = text("How a text message is written; null on other channels.", values=[sms.GSM_7, sms.UCS_2])
    parts = count("Parts of a text message; null on other channels.", "parts", nullable=True, minimum=1)
    template = text("The network's approved template; null on channels that need none.")
    template_language = text("The code under which the network holds the approved template.")
    parameters = personal("The approved template's values in their order, as a JSON list.")
    over_limit = text("The limit of the channel that it breaks and is put aside for; null for all others.")
    subject = personal("Subject line, or a push message's title.", nullable=False)
    body_text = personal("The text.", nullable=False)
    body_html = personal("The same as HTML; empty for channels without it.", nullable=False)
    cta = text("What the button says; empty without a landing page.", nullable=False)
    url = text("Where it leads, tracking parameters included; empty without a landing page.", nullable=False)


def messages(
    decisions: pl.LazyFrame,
    customers: pl.LazyFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    shop: Shop,
    catalogue: pl.LazyFrame | None = None,
    released: pl.DataFrame | None = None,
    reached: pl.DataFrame | None = None,
    wording: Wording = as_written,
) -> pl.DataFrame:
    """One row of `Messages` for every decision to send, sorted by customer_id.

    `customers` are raw.customers with one row per profile (see people), for name, locale and address; `catalogue` is
    raw.products, for the names of what is recommended. `released` are tonight's messages whose batches went out already:
    they are taken over as they are. `reached` (customer_id) are all who got a message tonight: they get no other. `wording`
    may put other words into a group's template.
    Raises DispatchError when a template is missing or cannot be rendered, or all its messages break a limit.
    """
    gone = Messages.empty() if released is None else released
    nobody = pl.DataFrame(schema={"customer_id": pl.String})
    served = pl.concat([gone.select("customer_id"), (nobody if reached is None else reached).select("customer_id")])
    due = decisions.filter(pl.col("action") == "send").join(served.lazy(), on="customer_id", how="anti")
    if due.select(pl.len()).collect().item() == 0:
        return gone.sort("customer_id")
    written = _written(_due(due, customers, catalogue, shop_id, as_of, shop), shop, wording)
    columns = [pl.col(name).cast(dtype) for name, dtype in Messages.polars_schema.items()]
    written = with_batch_ids(written, shop_id, as_of).select(columns)
    return pl.concat([written, gone.select(columns)]).sort("customer_id")


def _due(
    decisions: pl.LazyFrame,
    customers: pl.LazyFrame,
    catalogue: pl.LazyFrame | None,
    shop_id: str,
    as_of: dt.date,
    shop: Shop,
) -> pl.DataFrame:
    """The decisions with all that their messages are made of, sorted by customer_id."""
    of_message = [name for name in decisions.collect_schema().names() if name in Messages.columns]
    due = (
        decisions.select("products", *of_message)
        .join(
            customers.select("customer_id", "first_name", "locale", "email", "phone", PUSH_TOKEN),
            on="customer_id",
            how="left",
        )
        .sort("customer_id")
        .collect()
    )
    due = _with_products(due, catalogue)
    return due.with_columns(
        language=_language(due, shop),
        first_name=_name(),
        address=_address(due, shop),
        expires_at=pl.col("send_at") + dt.timedelta(hours=shop.dispatch.expiry_hours),
        idempotency_key=idempotency_keys(due, shop_id, as_of),
    ).with_columns(named=pl.col("first_name").is_not_null())


def _written(due: pl.DataFrame, shop: Shop, wording: Wording) -> pl.DataFrame:
    """The messages of `due` with their texts, sorted by customer_id."""
    written = pl.concat(
        written_out(Group(*group), frame, shop, wording) for group, frame in due.group_by(*GROUP, maintain_order=True)
    )
    _refuse_hopeless(written)
    return written.sort("customer_id")


def written_out(group: Group, frame: pl.DataFrame, shop: Shop, wording: Wording = as_written) -> pl.DataFrame:
    """The group's messages as `texts_of` has them; where a limit is broken, without the customer's name."""
    written = texts_of(group, frame, shop, wording)
    if not group.named or written.get_column("over_limit").null_count() == written.height:
        return written
    kept = written.get_column("over_limit").is_null()
    return pl.concat([written.filter(kept), texts_of(replace(group, named=False), frame.filter(~kept), shop, wording)])


def texts_of(group: Group, frame: pl.DataFrame, shop: Shop, wording: Wording) -> pl.DataFrame:
    """The group's messages with their texts, the network's template, and how they fit (see message_limits.measured)."""
    channel = shop.routing.channels[group.channel]
    rendered = render(group, shop, wording)
    approved = channel.approved_templates.get(group.content_type) if channel.needs_template else None
    written = measured(_fill(frame, rendered), group.channel, channel, rendered)
    return written.with_columns(
        wording=pl.lit(rendered.digest),
        template=pl.lit(approved, pl.String),
        template_language=pl.lit(rendered.template_language if approved else None, pl.String),
    )


def idempotency_keys(frame: pl.DataFrame, shop_id: str, as_of: dt.date) -> pl.Series:
    """The key under which a message goes out once: a hash of shop, customer, programme, step and as_of."""
    parts = frame.select("customer_id", "programme", "step")
    return digests(parts, ["customer_id", "programme", "step"], prefix=f"{shop_id}\x1f{as_of}").alias("idempotency_key")


def with_batch_ids(rendered: pl.DataFrame, shop_id: str, as_of: dt.date) -> pl.DataFrame:
    """Adds `batch_id`: a hash of the content of all messages of the same channel and programme, the first 32 digits.

    `rendered` is sorted by customer_id. A message's texts count by what they are made of: their group's wording and the
    customer's own values.
    """
    content = [
        "idempotency_key",
        "address",
        "send_at",
        "expires_at",
        "offer_id",
        "discount_pct",
        "language",
        "template",
    ]
    content += ["wording", "first_name", *PRODUCT_NAMES]
    hashed = rendered.select("channel", "programme", content=digests(rendered, content, prefix=f"{shop_id}|{as_of}"))
    ids = [
        (channel, programme, content_hash(part.get_column("content"))[:32])
        for (channel, programme), part in hashed.group_by("channel", "programme", maintain_order=True)
    ]
    schema = {"channel": pl.String, "programme": pl.String, "batch_id": pl.String}
    return rendered.join(
        pl.DataFrame(ids, schema=schema, orient="row"), on=["channel", "programme"], how="left", maintain_order="left"
    )


def escaped(value: pl.Expr) -> pl.Expr:
    """A text made safe inside HTML, as jinja2's autoescape does it."""
    return value.str.replace_many(["&", "<", ">", '"', "'"], ["&amp;", "&lt;", "&gt;", "&#34;", "&#39;"])


def _one_line(value: pl.Expr) -> pl.Expr:
    """A name without control characters, at most 80 long; null when nothing is left."""
    plain = value.str.normalize("NFC").str.replace_all(r"[\p{C}\p{Z}]+", " ").str.strip_chars()
    plain = plain.str.slice(0, LONGEST_NAME).str.strip_chars()
    return pl.when(plain != "").then(plain)


def _name() -> pl.Expr:
    """The customer's first name, as short and plain as the channel asks."""
    name = _one_line(pl.col("first_name"))
    for channel, length in NAME_LENGTH.items():
        name = pl.when(pl.col("channel") == channel).then(name.str.slice(0, length).str.strip_chars()).otherwise(name)
    plain = name.str.replace_many({**sms.TYPOGRAPHIC, **sms.PLAIN_LETTERS})
    return pl.when(pl.col("channel") == SMS).then(plain).otherwise(name)


def _with_products(due: pl.DataFrame, catalogue: pl.LazyFrame | None) -> pl.DataFrame:
    """Adds product_1 to product_3, the names of the recommended products that have one, and `products`, how many."""
    listed = due.lazy().select("customer_id", product_id=pl.col("products").str.json_decode(pl.List(pl.String)))
    known = pl.LazyFrame(schema={"product_id": pl.String, "name": pl.String}) if catalogue is None else catalogue
    names = (
        listed.explode("product_id", empty_as_null=False, keep_nulls=False)
        .join(known.select("product_id", name=_one_line(pl.col("name"))), on="product_id", maintain_order="left")
        .filter(pl.col("name").is_not_null())
        .group_by("customer_id")
        .agg(pl.col("name").unique(maintain_order=True).head(len(PRODUCT_NAMES)))
        .select(
            "customer_id",
            *(pl.col("name").list.get(place, null_on_oob=True).alias(name) for place, name in enumerate(PRODUCT_NAMES)),
            products=pl.col("name").list.len().cast(pl.Int64),
        )
    )
    joined = due.drop("products").lazy().join(names, on="customer_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("products").fill_null(0)).collect()


def _language(due: pl.DataFrame, shop: Shop) -> pl.Expr:
    """The customer's language where the message's template exists in it, else the shop's, else English."""
    known = [
        f"{content}.{channel}.{language}"
        for content, channel in due.select("content_type", "channel").unique().iter_rows()
        for language in languages(shop)
        if found(content, channel, language, shop)
    ]
    wished = [pl.col("locale").str.slice(0, 2).str.to_lowercase(), pl.lit(shop.language)]
    exists = [pl.concat_str("content_type", "channel", language, separator=".").is_in(known) for language in wished]
    return pl.coalesce(
        *(pl.when(there).then(language) for there, language in zip(exists, wished, strict=True)), pl.lit("en")
    )


def _address(due: pl.DataFrame, shop: Shop) -> pl.Expr:
    by = {name: shop.routing.channels[name].addressed_by for name in due.get_column("channel").unique().sort()}
    return pl.coalesce(
        pl.when(pl.col("channel") == channel).then(pl.col(column).str.strip_chars()) for channel, column in by.items()
    )


def _fill(frame: pl.DataFrame, rendered: Rendered) -> pl.DataFrame:
    """The group's messages with every mark replaced by the customer's own value."""
    plain = {FIRST_NAME: pl.col("first_name"), MESSAGE_KEY: pl.col("idempotency_key")}
    plain |= {mark: pl.col(name) for mark, name in zip(PRODUCTS, PRODUCT_NAMES, strict=True)}
    html = {mark: escaped(value) for mark, value in plain.items()}
    values = pl.concat_list(_filled(value, plain) for value in rendered.parameters) if rendered.parameters else None
    return frame.with_columns(
        *(_filled(text, html if part == "body_html" else plain).alias(part) for part, text in rendered.parts.items()),
        parameters=pl.lit(None, pl.String) if values is None else _json(values),
    )


def _filled(text: str, values: Mapping[str, pl.Expr]) -> pl.Expr:
    return pl.concat_str(values[piece] if piece in values else pl.lit(piece) for piece in MARKS.split(text))


def _json(values: pl.Expr) -> pl.Expr:
    """A list as JSON."""
    return pl.struct(values.alias("values")).struct.json_encode().str.strip_prefix('{"values":').str.head(-1)


def _refuse_hopeless(written: pl.DataFrame) -> None:
    """A template of which no message can go out is a mistake to be told, not so many messages to be put aside."""
    names = pl.concat_str("content_type", "channel", "language", separator=".")
    hopeless = (
        written.lazy()
        .group_by(template=names)
        .agg(pl.col("over_limit").null_count() == 0, told=pl.col("over_limit").sort().first(), messages=pl.len())
        .filter("over_limit")
        .sort("template")
        .collect()
    )
    for template, _, told, many in hopeless.iter_rows():
        raise DispatchError(
            f"message template {template}: none of its {many} messages can go out on the channel: {told}. Shorten the "
            "template or dispatch.landing_url, or raise the channel's limit (routing.channels.<name>.max_...)."
        )
