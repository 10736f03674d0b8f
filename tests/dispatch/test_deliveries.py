"""What is due, what a request says and how it is signed, when it is tried again, and what an answer means."""

import base64
import datetime as dt
import email.utils
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from lifecycle_assets.dispatch import webhooks
from lifecycle_assets.dispatch.carrying import Parcel, _cuts
from lifecycle_assets.dispatch.deliveries import addressed, due, oldest_night, still_due, to_cancel
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.dispatch.webhooks import Answer
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.settings import Delivery, Webhook, parse

AS_OF = dt.date(2025, 3, 1)
NOW = dt.datetime(2025, 3, 2, 2, tzinfo=dt.UTC)
SECRET = bytes(range(32))
WEBHOOK = Webhook(url="https://hooks.example/lifecycle")


def line(event: str, key: str = "k1", at: int = 0, batch: str = "b1") -> dict[str, Any]:
    return {
        "shop_id": "lupe",
        "as_of": AS_OF,
        "idempotency_key": key,
        "batch_id": batch,
        "event": event,
        "at": NOW + dt.timedelta(hours=at),
        "actor": "nightly run",
    }


def ledger(*lines: dict[str, Any], destination: str | None = "webhook") -> pl.LazyFrame:
    return addressed(pl.DataFrame(list(lines), schema=Ledger.polars_schema), destination).lazy()


@pytest.mark.parametrize(
    ("events", "is_due"),
    [
        (["planned"], False),
        (["planned", "exported"], True),
        (["planned", "approved", "exported"], True),
        (["planned", "cancelled", "planned", "exported"], True),
        (["planned", "cancelled", "planned", "cancelled", "planned", "exported"], True),
        (["planned", "exported", "acknowledged"], False),
        (["planned", "exported", "acknowledged", "delivered"], False),
        (["planned", "exported", "cancelled"], False),
        (["planned", "cancelled", "planned", "exported", "cancelled"], False),
        (["planned", "exported", "compensated"], False),
    ],
)
def test_due_is_what_was_released_and_not_answered_or_withdrawn(events: list[str], is_due: bool) -> None:
    lines = ledger(*(line(event, at=hour) for hour, event in enumerate(events)))
    assert due(lines, "webhook").rows() == ([(AS_OF, "b1", "k1")] if is_due else [])


def test_only_what_was_planned_for_the_receiver_is_due_for_it() -> None:
    events = [line("planned"), line("exported", at=1)]
    assert due(ledger(*events, destination="webhook"), "s3").is_empty()
    assert due(ledger(*events, destination=None), "webhook").is_empty()


def test_the_oldest_night_whose_messages_may_still_be_sent() -> None:
    # The last hour of 1 March in Honolulu is 10:00 UTC of 2 March; a message sent 24 hours later lives for 24 more.
    latest = dt.datetime(2025, 3, 4, 10, tzinfo=dt.UTC)
    assert oldest_night(latest, 24) <= AS_OF
    assert oldest_night(latest + dt.timedelta(days=30), 24) > AS_OF


def test_what_was_undone_since_is_due_no_more_and_to_be_cancelled() -> None:
    events = [line(event, key, at) for key in ("k1", "k2") for at, event in enumerate(["planned", "exported"])]
    lines = ledger(*events, line("compensated", "k2", at=3))
    messages = parcel(3).messages
    assert still_due(messages, lines, "webhook")["idempotency_key"].to_list() == ["k1"]
    assert to_cancel(lines, "b1", "webhook").rows() == [(AS_OF, "k2")]
    assert to_cancel(lines, "b1", "s3").is_empty() and to_cancel(lines, "b2", "webhook").is_empty()


@given(size=st.integers(1, 120), most=st.integers(1, 40), gone=st.integers(0, 119))
def test_parcels_hold_no_more_than_they_may_and_stay_when_a_message_goes(size: int, most: int, gone: int) -> None:
    keys = pl.Series("idempotency_key", [f"k{number}" for number in range(size)])

    def cut(keys: pl.Series) -> set[frozenset[str]]:
        parts = pl.DataFrame([keys, _cuts(keys, most).alias("parcel")]).partition_by("parcel")
        return {frozenset(part["idempotency_key"]) for part in parts}

    parcels, one = cut(keys), f"k{gone % size}"
    assert max(len(parcel) for parcel in parcels) <= most
    left = cut(keys.filter(keys != one))
    # Two halves that fit into one parcel now become one.
    changed = parcels - left
    assert len(changed) <= 2 and any(one in parcel for parcel in changed)
    assert left == (parcels & left) | ({frozenset().union(*changed) - {one}} - {frozenset()})


def parcel(messages: int = 2, **values: Any) -> Parcel:
    schema = Messages.polars_schema
    rows = [
        {"idempotency_key": f"k{n}", "batch_id": "b1", "send_at": NOW, "expires_at": NOW, **values}
        for n in range(messages)
    ]
    frame = pl.DataFrame(
        {name: pl.Series(name, [row.get(name) for row in rows], dtype=schema[name]) for name in schema}
    )
    return Parcel("lupe", AS_OF, "b1", frame, None)


@given(text=st.text(max_size=40), messages=st.integers(1, 3))
def test_the_body_is_json_with_every_message_whatever_a_text_holds(text: str, messages: int) -> None:
    told = json.loads(webhooks.body(parcel(messages, subject=text, body_html=text)))
    assert (told["shop"], told["as_of"], told["batch_id"]) == ("lupe", "2025-03-01", "b1")
    assert [message["idempotency_key"] for message in told["messages"]] == [f"k{n}" for n in range(messages)]
    assert {message["subject"] for message in told["messages"]} == {text}
    assert told["messages"][0]["send_at"] == "2025-03-02T02:00:00Z"


def test_the_key_is_that_of_the_messages_and_their_batch() -> None:
    assert parcel(2).key == parcel(2, subject="other").key
    other_batch = Parcel("lupe", AS_OF, "b2", parcel(2).messages, None)
    assert len({parcel(2).key, parcel(3).key, other_batch.key}) == 3


def test_the_signature_is_that_of_standard_webhooks() -> None:
    body = webhooks.body(parcel())
    now = dt.datetime.now(tz=dt.UTC)
    headers = webhooks.headers(SECRET, "msg", now, body)
    receiver = standardwebhooks.Webhook(base64.b64encode(SECRET).decode())
    assert receiver.verify(body, headers) == json.loads(body)
    for wrong in (body + b" ", body[:-1]):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            receiver.verify(wrong, headers)
    late = webhooks.headers(SECRET, "msg", now - dt.timedelta(minutes=6), body)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        receiver.verify(body, late)


def test_the_receivers_example_of_the_documentation_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "delivery.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - our own page
    secret = f"whsec_{base64.b64encode(SECRET).decode()}"
    body = webhooks.body(parcel())
    now = dt.datetime.now(tz=dt.UTC)
    headers = webhooks.headers(SECRET, "msg", now, body)
    assert names["is_genuine"](secret, headers, body)
    assert not names["is_genuine"](secret, headers, body + b" ")
    assert not names["is_genuine"](secret, headers | {"webhook-id": "other"}, body)
    assert not names["is_genuine"](secret.replace("A", "B"), headers, body)
    old = webhooks.headers(SECRET, "msg", now - dt.timedelta(minutes=6), body)
    assert not names["is_genuine"](secret, old, body)


@pytest.mark.parametrize("value", ["", "whsec_", "open sesame", "whsec_c2hvcnQ=", "whsec_" + "A" * 100])
def test_a_weak_or_broken_secret_is_an_error_that_does_not_show_it(value: str) -> None:
    with pytest.raises(SettingsError, match="^VARIABLE in the environment is no webhook secret") as caught:
        webhooks.secret_of(value, "VARIABLE")
    assert value in {"", "whsec_"} or value not in str(caught.value)


def failed(status: int | None, retry_after: str | None = None) -> Answer:
    return Answer(NOW, status, retry_after=retry_after)


@given(
    tried=st.integers(1, 25), jitter=st.floats(0, 1, exclude_max=True), status=st.sampled_from([None, 408, 429, 503])
)
def test_pauses_double_up_to_the_longest_and_end_with_the_last_try(
    tried: int, jitter: float, status: int | None
) -> None:
    settings = Webhook(url=WEBHOOK.url, attempts=20, backoff_seconds=0.5, longest_pause_seconds=30)
    pause = webhooks.pause(tried, failed(status), settings, jitter)
    if tried >= 20:
        assert pause is None
    else:
        full = min(30, 0.5 * 2 ** (tried - 1))
        assert pause is not None and full / 2 <= pause <= full


@pytest.mark.parametrize("status", [200, 204, 301, 302, 400, 401, 403, 404, 409, 410, 413, 422])
def test_what_trying_again_cannot_change_is_not_tried_again(status: int) -> None:
    assert webhooks.pause(1, failed(status), WEBHOOK, 0.5) is None
    assert webhooks.pause(1, failed(status, "1"), WEBHOOK, 0.5) is None


def test_retry_after_is_honoured_up_to_the_longest_pause() -> None:
    date = email.utils.format_datetime(NOW + dt.timedelta(seconds=90), usegmt=True)
    past = email.utils.format_datetime(NOW - dt.timedelta(seconds=90), usegmt=True)
    for status in (429, 503):
        assert webhooks.pause(1, failed(status, "7"), WEBHOOK, 0.5) == 7
        assert webhooks.pause(1, failed(status, date), WEBHOOK, 0.5) == 90
        assert webhooks.pause(1, failed(status, past), WEBHOOK, 0.5) == 0
        assert webhooks.pause(1, failed(status, "121"), WEBHOOK, 0.5) is None
        for unreadable in (
            "soon",
            "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
            "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
        ):
            assert webhooks.pause(1, failed(status, unreadable), WEBHOOK, 0.0) == 0.5


def test_refusals_are_read_and_nothing_personal_is_kept() -> None:
    told = [
        {"idempotency_key": "k1", "reason": "invalid_address"},
        {"idempotency_key": "k2", "reason": "no mailbox bea@example.com"},
        {"idempotency_key": "k3"},
    ]
    expected = {"k1": "invalid_address", "k2": "unstated", "k3": "unstated"}
    assert webhooks.refusals(json.dumps({"rejected": told}).encode()) == expected
    for nothing in (b"", b"OK", b"{}", b"[]", b"null", b"\xff", b'{"rejected": []}', b"[" * 100_000):
        assert webhooks.refusals(nothing) == {}
    for unclear in ({"rejected": "k1"}, {"rejected": ["k1"]}, {"rejected": [{"reason": "x"}]}, {"rejected": None}):
        receipt = webhooks.receipt(Answer(NOW, 200, json.dumps(unclear).encode()), 1)
        assert not receipt.taken and "rejected" in str(receipt.error)


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example/x", "ftp://hooks.example", "https://", "hooks.example", "https://me:pw@hooks.example/",
     "http://127.0.0.1.evil.example/"],
)  # fmt: skip
def test_an_address_that_would_leak_is_not_taken(url: str) -> None:
    with pytest.raises(SettingsError, match=r"webhook\.url"):
        parse(Delivery, f"webhook: {{url: '{url}'}}", "shops/x.yaml")


def test_this_machine_may_be_reached_without_encryption() -> None:
    for url in ("http://127.0.0.1:8000/x", "http://localhost/", "http://[::1]:9/"):
        assert Webhook(url=url).url == url


def test_a_message_goes_one_way_only() -> None:
    with pytest.raises(SettingsError, match="either webhook or s3"):
        parse(Delivery, "{webhook: {url: 'https://a.example'}, s3: {bucket: bkt}}", "shops/x.yaml")
