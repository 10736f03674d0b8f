"""A million decisions to send become messages in files: group by group in columns, and the naive way customer by customer.

The messages go out on six channels in three languages, most of them e-mails with HTML and recommended products. The naive
way renders every part of every message from compiled templates and writes a line of CSV and of JSON for each; it does a
sample, whose messages must agree to the last character, and its time for all is its time per message times their number.
"""

import csv
import datetime as dt
import hashlib
import json
import re
import shutil
import time
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
import numpy as np
import polars as pl
import yaml

from bench.harness import measure, table
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.destinations import generic
from lifecycle_assets.dispatch.messages import messages
from lifecycle_assets.inputs import contracts as raw
from lifecycle_assets.settings import Shop, parse
from resources.delivery import Delivery

TITLE = "A million messages"
AS_OF = dt.date(2025, 3, 1)
SHOP_ID = "bench"
SAMPLE = 5_000
PRODUCTS = 1_000
TEXTS = ("subject", "body_text", "body_html", "cta", "url")
TEMPLATES = Path(__file__).parent.parent / "lifecycle_assets/dispatch/templates"
GSM_ACCENTS = "éèùìòàäöñüÉÄÖÑÜåÅæÆøØß"
SHOP = """
name: Café Lupe
timezone: Europe/Madrid
currency: EUR
country: ES
input: /nowhere
dispatch: {landing_url: "https://www.cafelupe.example/shop"}
routing:
  channels:
    sms: {enabled: true}
    push: {enabled: true}
    call: {enabled: true}
    postal: {enabled: true}
    whatsapp: {enabled: true, approved_templates: {winback: winback_v1}}
"""
# programme, step, offer, content, channel, discount, share of the messages
MESSAGES = [
    ("winback", 1, "winback_10", "winback", "email", 10.0, 0.30),
    ("welcome", 1, "welcome_hello", "welcome", "email", 0.0, 0.15),
    ("cross_sell", 1, "goes_with", "cross_sell", "email", 0.0, 0.15),
    ("winback", 2, "winback_10", "winback", "sms", 10.0, 0.15),
    ("abandoned_cart", 1, "cart_reminder", "abandoned_cart", "push", 0.0, 0.15),
    ("winback", 2, "winback_10", "winback", "whatsapp", 10.0, 0.05),
    ("churn_save", 1, "check_in", "churn_save", "call", 0.0, 0.03),
    ("cold_winback", 1, "winback_15", "winback", "postal", 15.0, 0.02),
]
NAMES = ["Ana", "María José", "John", "João", "Zoë", "O'Hara", "François", None, "Nguyễn", "Анна"]
LOCALES = ["en-US", "es-ES", "pt-BR", "fi-FI", None]


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """The section of the report, for a tenth of the largest of `sizes`; raises AssertionError where the two ways disagree."""
    del memory_limit  # the SQL engine has no part in it
    many = max(sizes) // 10
    folder = work / f"messages_{many}"
    generate(folder, many)
    ours = measure("bench.dispatch:ours", folder=str(folder))
    naive = measure("bench.dispatch:naive", folder=str(folder))
    compared = assert_same(folder)
    whole = naive.value * many / compared
    rows = [
        [
            f"{many:,}",
            f"{ours.seconds:.1f} s ({ours.cpu_seconds:.1f} s CPU)",
            f"{ours.value['rendered']:.1f} s",
            f"{ours.value['megabytes']:,.0f} MB",
            f"{ours.peak_gb:.1f} GB",
            f"{whole:.0f} s",
            f"{whole / ours.seconds:.0f} x",
            f"{compared:,} equal",
        ]
    ]
    header = [
        "messages",
        "this project",
        "of it rendered",
        "files",
        "peak",
        "one by one (from a sample)",
        "faster",
        "compared",
    ]
    return "\n\n".join(
        [
            "Decisions to send on six channels in three languages become messages - rendered, measured against their "
            "channels' limits, hashed - and CSV and JSON lines, fsynced and hashed, in a folder for each batch.",
            table(header, rows),
        ]
    )


def generate(folder: Path, many: int) -> None:
    """Write decisions, customers and products as Parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    kind = rng.choice(len(MESSAGES), many, p=[message[-1] for message in MESSAGES])
    fields = ("programme", "step", "offer_id", "content_type", "channel", "discount_pct")
    ids = pl.Series([f"c{number:08d}" for number in range(many)])
    picks = rng.integers(0, PRODUCTS + 50, (many, 3))
    listed = pl.DataFrame({f"p{place}": picks[:, place] for place in range(3)}).select(
        pl.format('["p{}","p{}","p{}"]', "p0", "p1", "p2")
    )
    send_at = dt.datetime(2025, 3, 2, 9, tzinfo=dt.UTC)
    given = {
        "shop_id": pl.lit(SHOP_ID),
        "as_of": pl.lit(AS_OF),
        "action": pl.lit("send"),
        "reason": pl.lit("best_action"),
        "send_at": pl.lit(send_at),
        "send_at_local": pl.lit(send_at.replace(tzinfo=None) + dt.timedelta(hours=1)),
        "policy_version": pl.lit("bench"),
        "trace": pl.lit("{}"),
        "expected_value": pl.lit(0.5),
        "propensity": pl.lit(1.0),
    }
    columns = {
        "customer_id": ids,
        "decision_id": ids,
        "products": listed.to_series(),
        **{name: pl.Series([row[place] for row in MESSAGES]).gather(kind) for place, name in enumerate(fields)},
    }
    _written(pl.DataFrame(columns).with_columns(**given), Decisions, folder / "decisions.parquet")
    people = {
        "customer_id": ids,
        "first_name": pl.Series(NAMES).gather(rng.integers(0, len(NAMES), many)),
        "locale": pl.Series(LOCALES).gather(rng.integers(0, len(LOCALES), many)),
        "email": ids + "@example.com",
        "phone": "+34600" + ids.str.slice(3),
    }
    _written(pl.DataFrame(people), raw.Customers, folder / "customers.parquet")
    names = [f'Coffee & "Beans" no. {number}, 500 g' for number in range(PRODUCTS)]
    catalogue = {"product_id": [f"p{number}" for number in range(PRODUCTS)], "name": names}
    _written(pl.DataFrame(catalogue), raw.Products, folder / "products.parquet")


def _written(frame: pl.DataFrame, contract: Any, path: Path) -> None:
    columns = [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in contract.polars_schema.items()
    ]
    frame.select(columns).write_parquet(path)


def ours(folder: str) -> dict[str, float]:
    """Messages and their batches' files, as a night makes them."""
    work = Path(folder)
    shop = parse(Shop, SHOP, "bench")
    began = time.perf_counter()
    written = messages(
        pl.scan_parquet(work / "decisions.parquet"),
        pl.scan_parquet(work / "customers.parquet"),
        shop_id=SHOP_ID,
        as_of=AS_OF,
        shop=shop,
        catalogue=pl.scan_parquet(work / "products.parquet"),
    )
    rendered = time.perf_counter() - began
    home = work / f"dispatch-{time.time_ns()}"
    delivery = Delivery(home)
    for batch_id in written.get_column("batch_id").unique().sort():
        batch = written.filter(pl.col("batch_id") == batch_id)
        delivery.put(SHOP_ID, AS_OF, batch_id, generic.files(batch), lambda hashes: json.dumps(dict(hashes)).encode())
    written.head(SAMPLE).select("customer_id", *TEXTS).write_parquet(work / "ours.parquet")
    size = sum(path.stat().st_size for path in home.rglob("messages.*"))
    shutil.rmtree(home)
    return {"rendered": rendered, "megabytes": size / 1e6}


def naive(folder: str) -> float:
    """The first SAMPLE messages, one customer after the other; returns the seconds."""
    work = Path(folder)
    sample = (
        pl.scan_parquet(work / "decisions.parquet")
        .head(SAMPLE)
        .join(pl.scan_parquet(work / "customers.parquet"), on="customer_id", maintain_order="left")
        .collect()
        .to_dicts()
    )
    catalogue = dict(pl.read_parquet(work / "products.parquet").select("product_id", "name").iter_rows())
    began = time.perf_counter()
    rows = []
    with (work / "naive.csv").open("w", newline="") as lines, (work / "naive.jsonl").open("w") as documents:
        writer = csv.DictWriter(lines, ["customer_id", "address", "language", *TEXTS])
        writer.writeheader()
        for row in sample:
            message = _message(row, catalogue)
            writer.writerow(message)
            documents.write(json.dumps(message, ensure_ascii=False) + "\n")
            rows.append(message)
    seconds = time.perf_counter() - began
    pl.DataFrame(rows).select("customer_id", *TEXTS).write_parquet(work / "naive.parquet")
    return seconds


def _message(row: dict[str, Any], catalogue: dict[str, str]) -> dict[str, str]:
    language = (row["locale"] or "en")[:2]
    language = language if language in ("en", "es", "pt") else "en"
    channel = row["channel"]
    key = hashlib.sha256(
        "\x1f".join([SHOP_ID, str(AS_OF), row["customer_id"], row["programme"], str(row["step"])]).encode()
    ).hexdigest()
    tracking = {"utm_source": "lifecycle", "utm_medium": channel, "utm_campaign": row["programme"]}
    if channel != "sms":
        tracking |= {"utm_content": f"{row['offer_id']}_{row['step']}", "message_id": key}
    values = {
        "first_name": row["first_name"] or "",
        "shop": "Café Lupe",
        "discount_pct": f"{row['discount_pct']:g}" if row["discount_pct"] else "",
        "code": "",
        "language": language,
        "url": f"https://www.cafelupe.example/shop?{urlencode(tracking)}",
        "products": list(dict.fromkeys(catalogue[one] for one in json.loads(row["products"]) if one in catalogue)),
    }
    name = f"{row['content_type']}.{channel}"
    if channel == "sms":
        letters = unicodedata.normalize("NFD", values["first_name"])
        plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
        # É, é, ä and their like are in the alphabet of text messages; í is not.
        kept = "".join(
            one if one in GSM_ACCENTS else other for one, other in zip(values["first_name"], plain, strict=True)
        )
        values["first_name"] = kept if kept.isascii() or set(kept) & set(GSM_ACCENTS) else ""
    texts = {
        part: template.render(values) for part, template in _templates(name, language).items() if part != "products"
    }
    if channel == "sms" and len(texts["text"]) > 160:
        texts = {part: one.render({**values, "first_name": ""}) for part, one in _templates(name, language).items()}
    html = ""
    if channel == "email":
        words = _templates("layout.email", language)
        above = _templates(name, language).get("products")
        given = {
            **values,
            **texts,
            "greeting": words["greeting"].render(values),
            "footer": words["footer"].render(values),
            "code_line": "",
            "products": values["products"] if above else (),
            "products_line": above.render(values) if above else "",
            "paragraphs": [texts["text"]],
        }
        texts["text"], html = (_layout(kind).render(given) for kind in ("txt", "html"))
    return {
        "customer_id": row["customer_id"],
        "address": row[
            {"email": "email", "sms": "phone", "whatsapp": "phone", "call": "phone"}.get(channel, "customer_id")
        ],
        "language": language,
        "subject": texts.get("subject", ""),
        "body_text": re.sub(r"\n{3,}", "\n\n", texts["text"].strip()),
        "body_html": re.sub(r"\n\s*\n", "\n", html.strip()),
        "cta": texts.get("cta", ""),
        "url": str(values["url"]),
    }


@cache
def _templates(name: str, language: str) -> dict[str, jinja2.Template]:
    sources = yaml.safe_load((TEMPLATES / f"{language}.yaml").read_text("utf-8"))[name]
    return {part: jinja2.Template(source) for part, source in sources.items() if isinstance(source, str)}


@cache
def _layout(kind: str) -> jinja2.Template:
    return jinja2.Template((TEMPLATES / f"email.{kind}.j2").read_text("utf-8"), autoescape=kind == "html")


def assert_same(folder: Path) -> int:
    """How many messages were compared; raises AssertionError where one differs."""
    one_by_one, own = (pl.read_parquet(folder / f"{name}.parquet") for name in ("naive", "ours"))
    assert own.equals(one_by_one), "the two ways disagree"
    return own.height
