"""What a group of messages says, with marks where a customer's own values belong.

A template is the shop's own, else the one that ships, and is rendered in a sandbox (see template_sandbox) once for its group.
Languages that nothing ships for have an e-mail layout without words.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import yaml

from lifecycle_assets.dispatch import sms
from lifecycle_assets.dispatch.template_sandbox import TEMPLATE_ERRORS, template
from lifecycle_assets.errors import DispatchError
from lifecycle_assets.settings import ChannelName, MessageTemplate, Offer, Shop

# Private-use characters: nothing that a template or a name holds.
FIRST_NAME = "\ue000first_name\ue001"
MESSAGE_KEY = "\ue000message_key\ue001"
PRODUCTS = ("\ue000product_1\ue001", "\ue000product_2\ue001", "\ue000product_3\ue001")
MARKS = re.compile("(\ue000[a-z0-9_]+\ue001)")
_MARK_SIGNS = re.compile("[\ue000\ue001]")
SMS = "sms"
_AS_THEY_ARE = "/?%:@!$&'()*+,;=~"  # signs of a path or fragment that are not encoded


@dataclass(frozen=True)
class Group:
    """What all messages share that are rendered together; `products` is how many products each recommends."""

    programme: str
    step: int
    offer_id: str
    content_type: str
    channel: ChannelName
    discount_pct: float
    language: str
    named: bool
    products: int = 0

    @property
    def template(self) -> str:
        """The name of its template."""
        return f"{self.content_type}.{self.channel}.{self.language}"


@dataclass(frozen=True)
class Rendered:
    """The parts of a group's message by column, and the ordered values of an approved template, all with marks; and the
    code of that template's language."""

    parts: dict[str, str]
    parameters: tuple[str, ...]
    template_language: str

    @property
    def digest(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Layout:
    """The words around an e-mail's text."""

    greeting: str = ""
    code: str = ""
    footer: str = ""


@dataclass(frozen=True)
class Language:
    """The texts that ship in a language: content_type.channel -> template, and the e-mails' layout."""

    templates: dict[str, MessageTemplate] = field(default_factory=dict)
    layout: Layout = Layout()


Wording = Callable[[Group, MessageTemplate], MessageTemplate]


def as_written(_group: Group, written: MessageTemplate) -> MessageTemplate:
    """The wording of a template as it is."""
    return written


def render(group: Group, shop: Shop, wording: Wording = as_written) -> Rendered:
    """The group's message, worded by its template as `wording` has it.

    Raises DispatchError when there is no template, or it cannot be rendered.
    """
    own = found(group.content_type, group.channel, group.language, shop)
    if own is None:
        raise DispatchError(
            f"no message template {group.template} for programme {group.programme}, step {group.step}. "
            f"Add it to the shop's file under dispatch.templates: {group.template}: {{subject: ..., text: ...}}"
        )
    try:
        rendered = _rendered(group, wording(group, own), values(group, shop))
    except TEMPLATE_ERRORS as error:
        raise DispatchError(f"message template {group.template} cannot be rendered: {error}") from error
    for text in (*rendered.parts.values(), *rendered.parameters):
        if _MARK_SIGNS.search(MARKS.sub("", text)):
            raise DispatchError(
                f"message template {group.template} changes first_name or a product by a filter. Take the filter out: these "
                "are put in for each customer after the template is rendered."
            )
    return rendered


def values(group: Group, shop: Shop) -> dict[str, object]:
    """What a template may use."""
    from babel.numbers import format_decimal

    offer = shop.routing.offers.get(group.offer_id, Offer(name="-", content_type=group.content_type))
    written: dict[str, str] = {
        "shop": shop.name,
        "discount_pct": format_decimal(group.discount_pct, locale=group.language) if group.discount_pct else "",
        "offer": offer.name,
        "code": offer.code or "",
        "language": group.language,
        "url": url(group, shop),
    }
    if group.channel == SMS:
        written = {name: short_of_accents(value) for name, value in written.items()}
    return {
        **written,
        "first_name": FIRST_NAME if group.named else "",
        "products": PRODUCTS[: group.products],
    }


def short_of_accents(value: str) -> str:
    """A name as the GSM alphabet writes it, where it can."""
    plain = sms.typewritten(value).translate(str.maketrans(sms.PLAIN_LETTERS))
    return plain if sms.is_gsm(plain) else value


def found(content_type: str, channel: str, language: str, shop: Shop) -> MessageTemplate | None:
    """The shop's own template, else the one that ships; None where there is neither."""
    own = shop.dispatch.templates.get(f"{content_type}.{channel}.{language}")
    return own or shipped().get(language, Language()).templates.get(f"{content_type}.{channel}")


def languages(shop: Shop) -> Sequence[str]:
    """The languages in which there is any template, sorted."""
    own = {key.rsplit(".", 1)[1] for key in shop.dispatch.templates}
    return sorted({*own, *shipped()})


@cache
def shipped() -> dict[str, Language]:
    """The files in templates/ by their language."""
    folder = resources.files("lifecycle_assets.dispatch").joinpath("templates")
    texts = {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}
    return {name: _language(yaml.safe_load(file.read_text("utf-8"))) for name, file in sorted(texts.items())}


def _language(file: dict[str, dict[str, str]]) -> Language:
    layout = Layout(**file.pop("layout.email"))
    return Language({name: MessageTemplate.model_validate(one) for name, one in file.items()}, layout)


def _rendered(group: Group, written: MessageTemplate, given: dict[str, object]) -> Rendered:
    def plain(source: str, **more: object) -> str:
        text = template(source, html=False).render({**given, **more})
        return sms.typewritten(text) if group.channel == SMS else text

    cta = plain(written.cta) if given["url"] else ""
    texts = {"cta": cta, "subject": " ".join(plain(written.subject, cta=cta).split())}
    body = plain(written.text, **texts).strip()
    html = template(written.html, html=True).render({**given, **texts})
    if group.channel == "email" and not written.html:
        layout = shipped().get(group.language, Language()).layout
        words = {
            "greeting": plain(layout.greeting),
            "code_line": plain(layout.code) if given["code"] else "",
            "footer": plain(layout.footer),
            "products": given["products"] if written.products else (),
            "products_line": plain(written.products),
            "paragraphs": re.split(r"\n\s*\n", body),
        }
        body, html = (
            template(_layout(kind), html=kind == "html").render({**given, **texts, **words}) for kind in ("txt", "html")
        )
    parts = {
        **texts,
        "body_text": re.sub(r"\n{3,}", "\n\n", body.strip()),
        "body_html": re.sub(r"\n\s*\n", "\n", html.strip()),
        "url": str(given["url"]),
    }
    parameters = tuple(" ".join(plain(one, **texts).split()) for one in written.parameters)
    return Rendered(parts, parameters, written.template_language or group.language)


@cache
def _layout(kind: str) -> str:
    return resources.files("lifecycle_assets.dispatch").joinpath(f"templates/email.{kind}.j2").read_text("utf-8")


def url(group: Group, shop: Shop) -> str:
    """Where the message leads: the landing page with the campaign's tracking parameters, which beat the page's own.

    The link of a text message carries no message id: it would take more room than the text.
    """
    if shop.dispatch.landing_url is None:
        return ""
    address = urlsplit(shop.dispatch.landing_url)
    tracking = {"utm_source": "lifecycle", "utm_medium": group.channel, "utm_campaign": group.programme}
    of_message = {} if group.channel == SMS else {"utm_content": f"{group.offer_id}_{group.step}"}
    given = parse_qsl(address.query, keep_blank_values=True)
    own = [(name, value) for name, value in given if name not in {*tracking, "utm_content", "message_id"}]
    query = urlencode([*own, *tracking.items(), *of_message.items()])
    return urlunsplit(
        address._replace(
            netloc=address.netloc if address.netloc.isascii() else address.netloc.encode("idna").decode(),
            path=quote(address.path, safe=_AS_THEY_ARE),
            query=query if group.channel == SMS else f"{query}&message_id={MESSAGE_KEY}",
            fragment=quote(address.fragment, safe=_AS_THEY_ARE),
        )
    )
