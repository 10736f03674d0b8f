"""What sending tools are given: the bytes that their documentation asks for, within their limits, and who is put aside."""

import csv
import datetime as dt
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from dispatch_world import SHOP_FILE
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.dispatch.destinations import bodies, catalogue
from lifecycle_assets.dispatch.destinations.fitness import is_e164, is_email
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.settings import Destinations, Shop, parse
from lifecycle_assets.settings.destinations import DestinationName

GOLDEN = Path(__file__).parent / "golden"
VENDORS = ["klaviyo", "braze", "sendgrid", "twilio", "whatsapp", "fcm"]
CHANNEL = {"twilio": "sms", "whatsapp": "whatsapp", "fcm": "push"}
TOKENS = ["dQw4w9WgXcQ:APA91b" * 7, "fZ-_0" * 20]
IDS = Destinations.model_validate(
    {
        "klaviyo": {"list_id": "Y6nRLr"},
        "braze": {"campaigns": {"email": "campaign-1"}},
        "sendgrid": {"sender": "hola@shop.example", "sender_name": "Café Lupe", "unsubscribe_group": 7},
        "twilio": {
            "messaging_service_sid": "MG0123456789abcdef0123456789abcdef",
            "status_callback": "https://hooks.shop.example/twilio?shop=lupe",
        },
    }
)
PLAIN: dict[str, Any] = {
    "shop_id": "lupe",
    "as_of": dt.date(2025, 3, 28),
    "batch_id": "b1",
    "decision_id": "d",
    "programme": "winback",
    "step": 1,
    "offer_id": "winback_10",
    "content_type": "winback",
    "policy_version": "p",
    "language": "en",
    "subject": "Hello",
    "body_text": "Text",
    "body_html": "<p>Text</p>",
    "cta": "Go",
    "url": "https://shop.example/",
    "send_at": dt.datetime(2025, 3, 29, 9, tzinfo=dt.UTC),
    "expires_at": dt.datetime(2025, 3, 30, 9, tzinfo=dt.UTC),
}
# Ten in the morning in Madrid, the day before the clocks change and the day they do.
NASTY: list[dict[str, Any]] = [
    {
        "customer_id": "007",
        "idempotency_key": "key-1",
        "variant": "treatment",
        "discount_pct": 12.5,
        "language": "es",
        "subject": '¿Vuelves, José "Pepe" O\'Hara?',
        "body_text": "Hola José,\nte echamos de menos 😀\t\\o/",
        "body_html": '<p class="x">Jos&#233; &amp; Co</p>',
        "cta": "Sí, quiero",
        "url": "https://shop.example/?q=a%20b&message_id=key-1",
        "template": "winback_es",
        "template_language": "es_ES",
        "parameters": '["José \\"Pepe\\"", "10 %"]',
    },
    {
        "customer_id": "0.7e1",
        "idempotency_key": "key-2",
        "step": 2,
        "language": "de",
        "subject": "Hallo",
        "body_text": "Größe +1",
        "body_html": "",
        "cta": "",
        "url": "",
        "send_at": dt.datetime(2025, 3, 30, 8, tzinfo=dt.UTC),
        "expires_at": dt.datetime(2025, 3, 31, 8, tzinfo=dt.UTC),
        "template": "winback_plain",
        "template_language": "de",
    },
]
ADDRESSES = {
    "email": ["ana.o'hara+news@example.com", "b@xn--mller-kva.example"],
    "sms": ["+34600123456", "+33612345678"],
    "whatsapp": ["+34600123456", "+33612345678"],
    "push": TOKENS,
}


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = Messages.polars_schema
    return pl.DataFrame({name: pl.Series([row.get(name) for row in rows], dtype=kind) for name, kind in schema.items()})


def letters(vendor: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Messages for a vendor: PLAIN with what the rows say, numbered, with addresses that fit."""
    channel = CHANNEL.get(vendor, "email")
    return table(
        [
            {
                **PLAIN,
                "channel": channel,
                "customer_id": f"c{number:05d}",
                "idempotency_key": f"k{number:05d}",
                "address": ADDRESSES[channel][number % 2],
                "template": "t",
                "template_language": "en",
                **row,
            }
            for number, row in enumerate(rows)
        ]
    )


def written(vendor: str, messages: pl.DataFrame, ids: Destinations = IDS) -> dict[str, bytes]:
    contents = {}
    for name, write in catalogue.files(vendor, messages, ids).items():
        target = io.BytesIO()
        write(target)
        contents[name] = target.getvalue()
    return contents


def requests(vendor: str, messages: pl.DataFrame, ids: Destinations = IDS) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(vendor, messages, ids)["requests.jsonl"].splitlines()]


def index(vendor: str, messages: pl.DataFrame) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written(vendor, messages)["requests.csv"].decode())))


def reasons(vendor: str, rows: list[dict[str, Any]], at: dt.datetime | None = None) -> list[str | None]:
    messages = letters(vendor, rows)
    told = dict(catalogue.rejected(vendor, messages, at).iter_rows())
    return [told.get(customer) for customer in messages["customer_id"]]


# --- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", [*VENDORS, "generic"])
def test_golden_vectors(vendor: str) -> None:
    messages = letters(vendor, NASTY)
    assert catalogue.rejected(vendor, messages, None).is_empty()
    version = catalogue.ADAPTERS[vendor].VERSION
    golden = GOLDEN / f"{vendor}_v{version}.jsonl"
    name = "messages.jsonl" if vendor == "generic" else "requests.jsonl"
    assert written(vendor, messages.reverse())[name].decode() == golden.read_text("utf-8"), (
        f"what {vendor} is given has changed: raise VERSION and lay golden/{vendor}_v{version + 1}.jsonl beside {golden.name}"
    )


def test_every_destination_of_the_settings_has_an_adapter_and_a_golden_file() -> None:
    assert set(get_args(DestinationName)) == set(catalogue.ADAPTERS)
    for name, adapter in catalogue.ADAPTERS.items():
        assert catalogue.described(name) == {"adapter": name, "version": adapter.VERSION}
        assert (GOLDEN / f"{name}_v{adapter.VERSION}.jsonl").exists()


@pytest.mark.parametrize("vendor", VENDORS)
def test_nothing_written_subscribes_anyone(vendor: str) -> None:
    text = written(vendor, letters(vendor, NASTY))["requests.jsonl"].decode().lower()
    assert not [word for word in ("subscri", "consent", "opt_in", "optin", 'attributes":{"email_') if word in text]


# --- chunks -----------------------------------------------------------------------------------------------------------


def keys_of(vendor: str, request: dict[str, Any]) -> list[str]:
    """The idempotency keys in a request, from the field where the vendor keeps them."""
    match vendor:
        case "klaviyo":
            profiles = request["data"]["attributes"]["profiles"]["data"]
            return [profile["attributes"]["properties"]["lifecycle_message_id"] for profile in profiles]
        case "braze":
            return [recipient["trigger_properties"]["message_id"] for recipient in request["recipients"]]
        case "sendgrid":
            return [mail["custom_args"]["message_id"] for mail in request["personalizations"]]
        case "twilio":
            return [request["StatusCallback"].rpartition("message_id=")[2]]
        case "whatsapp":
            return [request["biz_opaque_callback_data"]]
        case _:
            return [request["message"]["data"]["message_id"]]


@pytest.mark.parametrize(
    ("vendor", "size"),
    [("klaviyo", 10_000), ("braze", 50), ("sendgrid", 1000), ("twilio", 1), ("whatsapp", 1), ("fcm", 1)],
)
def test_each_message_is_in_one_request_and_the_index_says_in_which(
    vendor: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Slices are smaller than the night, and no multiple of the requests.
    monkeypatch.setattr(bodies, "SLICE", 12_345)
    hours = [PLAIN["send_at"] + dt.timedelta(hours=hour) for hour in range(3)]
    messages = letters(vendor, [{"send_at": hours[number % 3]} for number in range(20_050)])
    sent = requests(vendor, messages.sample(fraction=1, shuffle=True, seed=1))
    keys = [keys_of(vendor, request) for request in sent]
    assert Counter(key for part in keys for key in part) == Counter(messages["idempotency_key"])
    # Ten thousand of Klaviyo's profiles are more than the 5 MB that it takes.
    assert max(map(len, keys)) == (size if vendor != "klaviyo" else 8_236)
    # Requests are as full as the limit allows: one more at most for each time of sending, where one time is shared.
    assert len(keys) <= 20_050 // size + 3
    times = dict(messages.select("idempotency_key", "send_at").iter_rows())
    for number, line in enumerate(index(vendor, messages)):
        assert line["idempotency_key"] in keys[int(line["request"]) - 1]
        if number < 100:
            assert dt.datetime.fromisoformat(line["send_at"]) == times[line["idempotency_key"]]
    if vendor == "braze":
        assert all(
            times[key].strftime("%FT%TZ") == r["schedule"]["time"]
            for r, part in zip(sent, keys, strict=True)
            for key in part
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=80), st.integers(1, 12), st.integers(100, 400))
def test_chunks_keep_count_and_bytes_and_are_not_needlessly_small(lengths: list[int], size: int, most: int) -> None:
    messages = letters("klaviyo", [{"body_text": "é" * (length // 2)} for length in lengths])
    item = pl.struct(t="body_text")
    files = bodies.in_chunks(messages, item, {"items": pl.col("items")}, size=size, most_bytes=most)
    target = io.BytesIO()
    files["requests.jsonl"](target)
    lines = target.getvalue().splitlines()
    counts = [len(json.loads(line)["items"]) for line in lines]
    assert sum(counts) == len(lengths)
    assert max(counts) <= size
    assert all(len(line) - len(b'{"items":[]}') <= most for line in lines)
    total = sum(len(line) for line in lines)
    longest = max(len(json.dumps({"t": text}, ensure_ascii=False).encode()) + 1 for text in messages["body_text"])
    assert len(lines) <= len(lengths) // size + total // max(most - longest, 1) + 2


def test_klaviyo_requests_stay_below_five_megabytes_although_one_profile_is_large() -> None:
    rows = [{"body_html": "x" * 4_000} for _ in range(3_000)]
    rows[1234]["body_html"] = "y" * 95_000
    lines = written("klaviyo", letters("klaviyo", rows))["requests.jsonl"].splitlines()
    assert max(map(len, lines)) <= 5_000_000
    assert len(lines) <= 4


def test_the_order_of_the_rows_changes_no_byte() -> None:
    rows = [{**row, "send_at": PLAIN["send_at"] + dt.timedelta(hours=n % 5)} for n, row in enumerate([*NASTY] * 30)]
    for vendor in VENDORS:
        messages = letters(vendor, [{**row, "idempotency_key": f"k{n:03d}"} for n, row in enumerate(rows)])
        assert written(vendor, messages) == written(vendor, messages.sample(fraction=1, shuffle=True, seed=3))


# --- who is put aside -------------------------------------------------------------------------------------------------


def fits(check: pl.Expr, addresses: list[str]) -> list[str]:
    return pl.DataFrame({"address": addresses}).filter(check)["address"].to_list()


def test_email_addresses() -> None:
    good = [
        "a@b.co",
        "ana.o'hara+news@mail.example.com",
        "x_y-z{1}@sub.domain.museum",
        "b@xn--mller-kva.xn--p1ai",
        "1@2.example",
        "a" * 64 + "@example.com",
    ]
    bad = [
        "",
        "ana",
        "ana@",
        "@example.com",
        "ana@example",
        "ana@@example.com",
        ".ana@example.com",
        "ana.@example.com",
        "a..b@example.com",
        "ana@example..com",
        "ana@-example.com",
        "ana@example-.com",
        "ana@example.1",
        "ana smith@example.com",
        "ana@example.com, bea@example.com",
        "ana@example.com\n",
        "Ana <ana@example.com>",
        "josé@example.com",
        "ana@exämple.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 64 + ".com",
        "a@" + "b." * 130 + "com",
    ]
    assert fits(is_email, [*good, *bad]) == good


def test_telephone_numbers() -> None:
    good = ["+34600123456", "+14155552671", "+2905555"]
    bad = [
        "",
        "600123456",
        "0034600123456",
        "+0600123456",
        "+34 600 123 456",
        "+34600123456 ext 2",
        "+1234567890123456",
    ]
    assert fits(is_e164, [*good, *bad]) == good


NOON = dt.datetime(2025, 3, 29, 12, tzinfo=dt.UTC)


def after(**time: float) -> dict[str, dt.datetime]:
    return {"send_at": NOON + dt.timedelta(**time)}


def test_whom_each_vendor_would_refuse() -> None:
    wrong = {"address": "nobody"}
    assert reasons("klaviyo", [{}, wrong, {"body_html": "x" * 98_000}, {"body_html": "é" * 50_000}]) == [
        None,
        "unfit_address",
        None,
        "too_long",
    ]
    assert reasons("braze", [{}, wrong, {"body_html": "x" * 50_000}]) == [None, None, "too_long"]
    assert reasons("sendgrid", [{}, wrong, {"subject": ""}, {"body_html": "é" * 5_000}]) == [
        None,
        "unfit_address",
        "no_subject",
        "too_long",
    ]
    assert reasons("twilio", [{}, wrong, {"body_text": "é" * 1600}, {"body_text": "é" * 1601}]) == [
        None,
        "unfit_address",
        None,
        "too_long",
    ]
    assert reasons("fcm", [{}, {"address": "c00001"}, {"body_text": "😀" * 1_020}]) == [
        None,
        "unfit_address",
        "too_long",
    ]


def test_whatsapp_takes_approved_templates_with_values_on_one_line() -> None:
    values = ["[]", '["José", "10 %"]', '["a\\nb"]', '["a\\tb"]', '["a    b"]', '["a     b"]', '[" "]', None]
    told = [None, None, "unfit_parameter", "unfit_parameter", None, "unfit_parameter", "unfit_parameter", None]
    assert reasons("whatsapp", [{"parameters": value} for value in values]) == told
    assert reasons("whatsapp", [{"template": None}, {"parameters": json.dumps(["x" * 600, "y" * 425])}]) == [
        "no_template",
        "too_long",
    ]


@pytest.mark.parametrize("vendor", VENDORS)
def test_of_no_messages_none_is_refused(vendor: str) -> None:
    assert reasons(vendor, [], NOON) == []


def test_a_vendors_window_counts_from_the_export() -> None:
    times = [after(minutes=-1), after(minutes=14), after(minutes=15), after(days=35), after(days=36)]
    assert reasons("twilio", times, NOON) == ["outside_window", "outside_window", None, None, "outside_window"]
    assert reasons("twilio", times) == [None] * 5
    times = [after(hours=-12), after(hours=72), after(hours=73)]
    assert reasons("sendgrid", times, NOON) == [None, None, "outside_window"]
    assert reasons("sendgrid", [{**after(hours=73), "address": "nobody"}], NOON) == ["unfit_address"]


# --- settings ---------------------------------------------------------------------------------------------------------

TWILIO = "dispatch.destinations.twilio.messaging_service_sid=MG0123456789abcdef0123456789abcdef"
SMS = ["routing.channels.sms.enabled=true", "routing.channels.sms.destination=twilio"]


def shop(*changes: str) -> Shop:
    return parse(Shop, SHOP_FILE, "shops/lupe.yaml", list(changes))


def test_destinations_are_held_against_their_channels() -> None:
    assert shop(*SMS, TWILIO).routing.channels["sms"].destination == "twilio"
    assert shop("routing.channels.sms.destination=twilio").routing.channels["sms"].enabled is False
    for changes, told in [
        (SMS, "channel sms: set dispatch.destinations.twilio.messaging_service_sid"),
        (["routing.channels.email.destination=sendgrid"], "set dispatch.destinations.sendgrid.sender"),
        (["routing.channels.email.destination=braze"], r"set dispatch.destinations.braze.campaigns: \{email: ...\}"),
        (["routing.channels.email.destination=twilio"], "twilio carries sms, not email"),
        (
            ["routing.channels.push.enabled=true", "routing.channels.push.destination=fcm"],
            "fcm needs addressed_by: push_token",
        ),
        (["routing.channels.email.destination=mailchimp"], "mailchimp"),
    ]:
        with pytest.raises(SettingsError, match=told):
            shop(*changes)


def test_national_numbers_are_read_in_the_customers_country() -> None:
    lupe = shop(*SMS, TWILIO)
    numbers = ["600 123 456", "(0)6 12 34 56 78", "912 345 678", "+44 7400 123456", "no number"]
    messages = letters("twilio", [{"address": number} for number in numbers])
    standing = messages.lazy().select(
        "customer_id", dialling_country=pl.Series([None, "FR", "PT", "ES", "ES"], dtype=pl.String)
    )
    read = catalogue.addressed(messages, standing, lupe)
    assert read["address"].to_list() == ["+34600123456", "+33612345678", "+351912345678", "+447400123456", "no number"]
    assert read.drop("address").equals(messages.drop("address"))
    assert catalogue.addressed(messages, standing, shop()).equals(messages)
