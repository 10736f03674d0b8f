"""What each message says: rendered once per programme, step, offer and language, then filled in for everyone at once.

A template is rendered in a sandbox for its group with a mark where a personal value belongs; the text between the marks is
then joined with the customers' values, column by column. A customer's value is therefore never read as a template, and in
HTML it is escaped like everything else. Languages: the customer's (locale), else the shop's, else English.

Messages of a batch that went out already stay as they were sent, whatever a repeated run of the night renders.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import dataframely as dy
import jinja2
import polars as pl
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lifecycle_assets.contracts import as_of_column, key, money, number, personal, shop_key, table, text, timestamp
from lifecycle_assets.errors import DispatchError
from lifecycle_assets.hashing import content_hash, digests
from lifecycle_assets.settings import MessageTemplate, Shop

PARTS = ("subject", "body_text", "body_html", "cta", "url")
GROUP = ("programme", "step", "offer_id", "content_type", "channel", "discount_pct", "language", "named")
FIRST_NAME = "\ue000first_name\ue001"  # private-use characters: nothing that a template or a name holds
MESSAGE_KEY = "\ue000message_key\ue001"
_MARKS = re.compile("(\ue000[a-z_]+\ue001)")


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
    variant = text("Arm of the programme's experiment.")
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
    subject = personal("Subject line, or a push message's title.", nullable=False)
    body_text = personal("The text.", nullable=False)
    body_html = personal("The same as HTML; empty for channels without it.", nullable=False)
    cta = text("What the button says; empty without a landing page.", nullable=False)
    url = text("Where it leads, tracking parameters included; empty without a landing page.", nullable=False)


@dataclass(frozen=True)
class Group:
    """What all messages share that are rendered together."""

    programme: str
    step: int
    offer_id: str
    content_type: str
    channel: str
    discount_pct: float
    language: str
    named: bool


def messages(
    decisions: pl.LazyFrame,
    customers: pl.LazyFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    shop: Shop,
    released: pl.DataFrame | None = None,
    reached: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row of `Messages` for every decision to send, sorted by customer_id.

    `customers` are raw.customers with one row per profile (see people), for name, locale and address. `released` are
    tonight's messages whose batches went out already: they are taken over as they are. `reached` (customer_id) are all who
    got a message tonight: they get no other.
    Raises DispatchError when a template is missing or cannot be rendered.
    """
    gone = Messages.empty() if released is None else released
    nobody = pl.DataFrame(schema={"customer_id": pl.String})
    served = pl.concat([gone.select("customer_id"), (nobody if reached is None else reached).select("customer_id")])
    due = (
        decisions.filter(pl.col("action") == "send")
        .join(served.lazy(), on="customer_id", how="anti")
        .join(customers.select("customer_id", "first_name", "locale", "email", "phone"), on="customer_id", how="left")
        .collect()
    )
    if due.is_empty():
        return gone.sort("customer_id")
    due = due.with_columns(
        first_name=_one_line(pl.col("first_name")),
        language=_language(due, shop),
        address=_address(due, shop),
        expires_at=pl.col("send_at") + dt.timedelta(hours=shop.dispatch.expiry_hours),
    ).with_columns(named=pl.col("first_name").is_not_null())
    due = due.with_columns(idempotency_key=idempotency_keys(due, shop_id, as_of))
    rendered = pl.concat(
        _fill(frame, _render(Group(*group), shop))
        for group, frame in due.sort(*GROUP, "customer_id").group_by(*GROUP, maintain_order=True)
    )
    fresh = with_batch_ids(rendered.sort("customer_id"), shop_id, as_of)
    columns = [pl.col(name).cast(dtype) for name, dtype in Messages.polars_schema.items()]
    return pl.concat([fresh.select(columns), gone.select(columns)]).sort("customer_id")


def idempotency_keys(frame: pl.DataFrame, shop_id: str, as_of: dt.date) -> pl.Series:
    """The key under which a message goes out once: a hash of shop, customer, programme, step and as_of."""
    parts = frame.select("customer_id", "programme", "step")
    return digests(parts, ["customer_id", "programme", "step"], prefix=f"{shop_id}\x1f{as_of}").alias("idempotency_key")


def with_batch_ids(rendered: pl.DataFrame, shop_id: str, as_of: dt.date) -> pl.DataFrame:
    """Adds `batch_id`: a hash of the content of all messages of the same channel and programme, the first 32 digits.

    `rendered` is sorted by customer_id.
    """
    content = ["idempotency_key", "address", "send_at", "expires_at", "offer_id", "discount_pct", "language", *PARTS]
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
    plain = value.str.replace_all(r"[\p{C}\p{Z}]+", " ").str.strip_chars().str.slice(0, 80).str.strip_chars()
    return pl.when(plain != "").then(plain)


def _language(due: pl.DataFrame, shop: Shop) -> pl.Expr:
    """The customer's language where every template of tonight exists in it, else the shop's, else English."""
    used = due.select("content_type", "channel").unique().rows()
    own = {key.rsplit(".", 1)[1] for key in shop.dispatch.templates if "." in key}
    known = [
        language
        for language in sorted({*own, *_shipped()})
        if all(_find(content, channel, language, shop) for content, channel in used)
    ]
    stated = pl.col("locale").str.slice(0, 2).str.to_lowercase()
    fallback = shop.language if shop.language in known else "en"
    return pl.when(stated.is_in(known)).then(stated).otherwise(pl.lit(fallback))


def _address(due: pl.DataFrame, shop: Shop) -> pl.Expr:
    by = {name: shop.routing.channels[name].addressed_by for name in due.get_column("channel").unique().sort()}
    return pl.coalesce(
        pl.when(pl.col("channel") == channel).then(pl.col(column).str.strip_chars()) for channel, column in by.items()
    )


# --- templates --------------------------------------------------------------------------------------------------------


def _render(group: Group, shop: Shop) -> dict[str, str]:
    """The parts of a group's message, with marks where personal values belong."""
    template = _find(group.content_type, group.channel, group.language, shop)
    name = f"{group.content_type}.{group.channel}.{group.language}"
    if template is None:
        raise DispatchError(
            f"no message template {name} for programme {group.programme}, step {group.step}. "
            f"Add it to the shop's file under dispatch.templates: {name}: {{subject: ..., text: ...}}"
        )
    url = _url(group, shop)
    values = {
        "first_name": FIRST_NAME if group.named else "",
        "shop": shop.name,
        "discount_pct": f"{group.discount_pct:g}" if group.discount_pct else "",
        "offer": shop.routing.offers[group.offer_id].name if group.offer_id in shop.routing.offers else "",
        "language": group.language,
        "url": url,
    }
    try:
        cta = _environment(html=False).from_string(template.cta).render(values) if url else ""
        values["cta"] = cta
        subject = _environment(html=False).from_string(template.subject).render(values)
        body = _environment(html=False).from_string(template.text).render(values)
        html = _environment(html=True).from_string(template.html).render(values)
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise DispatchError(f"message template {name} cannot be rendered: {error}") from error
    return {
        "subject": " ".join(subject.split()),
        "body_text": re.sub(r"\n{3,}", "\n\n", body.strip()),
        "body_html": re.sub(r"\n\s*\n", "\n", html.strip()),
        "cta": cta,
        "url": url,
    }


def _fill(frame: pl.DataFrame, parts: Mapping[str, str]) -> pl.DataFrame:
    """The group's messages with every mark replaced by the customer's own value."""
    plain = {FIRST_NAME: pl.col("first_name"), MESSAGE_KEY: pl.col("idempotency_key")}
    html = {mark: escaped(value) for mark, value in plain.items()}
    return frame.with_columns(
        pl.concat_str(_pieces(template, html if part == "body_html" else plain)).alias(part)
        for part, template in parts.items()
    )


def _pieces(template: str, values: Mapping[str, pl.Expr]) -> list[pl.Expr]:
    return [values[piece] if piece in values else pl.lit(piece) for piece in _MARKS.split(template)]


def _url(group: Group, shop: Shop) -> str:
    if shop.dispatch.landing_url is None:
        return ""
    address = urlsplit(shop.dispatch.landing_url)
    tracking = {
        "utm_source": "lifecycle",
        "utm_medium": group.channel,
        "utm_campaign": group.programme,
        "utm_content": f"{group.offer_id}_{group.step}",
    }
    query = urlencode([*parse_qsl(address.query, keep_blank_values=True), *tracking.items()])
    return urlunsplit(address._replace(query=f"{query}&message_id={MESSAGE_KEY}"))


def _find(content_type: str, channel: str, language: str, shop: Shop) -> MessageTemplate | None:
    own = shop.dispatch.templates.get(f"{content_type}.{channel}.{language}")
    return own or _shipped().get(language, {}).get(f"{content_type}.{channel}")


@cache
def _shipped() -> dict[str, dict[str, MessageTemplate]]:
    """Language -> content_type.channel -> template, of the files in templates/."""
    folder = resources.files("lifecycle_assets.dispatch").joinpath("templates")
    return {
        file.name.removesuffix(".yaml"): _laid_out(yaml.safe_load(file.read_text("utf-8")))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".yaml")
    }


def _laid_out(file: dict[str, dict[str, str]]) -> dict[str, MessageTemplate]:
    """The templates of a file, the e-mails set into the file's layout."""
    templates = {name: MessageTemplate.model_validate(template) for name, template in file.items()}
    layout = templates.pop("layout.email")

    def email(template: MessageTemplate) -> MessageTemplate:
        text, html = (part.replace("{{ body }}", template.text) for part in (layout.text, layout.html))
        return template.model_copy(update={"text": text, "html": html.replace("{{ subject }}", template.subject)})

    return {name: email(one) if name.endswith(".email") else one for name, one in templates.items()}


@cache
def _environment(*, html: bool) -> jinja2.Environment:
    return ImmutableSandboxedEnvironment(autoescape=html, undefined=jinja2.StrictUndefined)
