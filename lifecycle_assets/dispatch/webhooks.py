"""What a webhook request says, how it is signed, what its answer means and when it is tried again. Nothing here sends.

Signature: Standard Webhooks 1.0 (standardwebhooks.com): `webhook-id`, `webhook-timestamp`, and `webhook-signature`, which is
`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body` with the secret that sender and receiver share.
Pauses: exponential backoff with jitter over its upper half, so that senders who failed together do not return together.
"""

import base64
import binascii
import datetime as dt
import email.utils
import hashlib
import hmac
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle_assets.dispatch.carrying import Parcel, Receipt
from lifecycle_assets.dispatch.destinations import generic
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.hashing import SEPARATOR
from lifecycle_assets.settings import Webhook

_PASSES = {408, 425, 429}  # told by the receiver to be a matter of time, as is every 5xx
_REASON = re.compile("[a-z][a-z_]{0,59}")


@dataclass(frozen=True)
class Answer:
    """What came back from one try: a status with its content, or, without a status, why none came."""

    at: dt.datetime
    status: int | None
    content: bytes = b""
    retry_after: str | None = None
    error: str = ""

    @property
    def taken(self) -> bool:
        """Whether the receiver says that it has the request."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def may_pass(self) -> bool:
        """Whether the same request can succeed later without anyone doing something."""
        return self.status is None or self.status in _PASSES or self.status >= 500


def body(parcel: Parcel) -> bytes:
    """The request's JSON: shop, as_of, batch_id, and the messages with the fields of the generic files."""
    lines = io.BytesIO()
    generic.files(parcel.messages)["messages.jsonl"](lines)
    told = {"shop": parcel.shop, "as_of": parcel.as_of.isoformat(), "batch_id": parcel.batch_id, "messages": []}
    opening = json.dumps(told, ensure_ascii=False).encode().removesuffix(b"]}")
    return opening + b",".join(lines.getvalue().rstrip(b"\n").split(b"\n")) + b"]}"


def cancellation(parcel: Parcel) -> bytes:
    """The JSON of a request that takes the parcel's messages back: shop, as_of, batch_id and the messages' keys."""
    told = {"type": "cancel", "shop": parcel.shop, "as_of": parcel.as_of.isoformat(), "batch_id": parcel.batch_id}
    return json.dumps(told | {"idempotency_keys": parcel.messages["idempotency_key"].to_list()}).encode()


def cancellation_key(parcel: Parcel) -> str:
    """The key under which the receiver takes the parcel's messages back once, other than the parcel's own."""
    return hashlib.sha256(f"cancel{SEPARATOR}{parcel.key}".encode()).hexdigest()


def headers(secret: bytes, key: str, at: dt.datetime, content: bytes) -> dict[str, str]:
    """The request's headers: the signature's three, and the key under which the receiver must act once only."""
    timestamp = str(int(at.timestamp()))
    signature = hmac.digest(secret, f"{key}.{timestamp}.".encode() + content, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "User-Agent": "lifecycle-assets",
        "Idempotency-Key": key,
        "webhook-id": key,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def secret_of(value: str, variable: str) -> bytes:
    """The bytes of a secret as Standard Webhooks writes it; raises SettingsError, which never shows it."""
    try:
        secret = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not 24 <= len(secret) <= 64:
        raise SettingsError(
            f"{variable} in the environment is no webhook secret: expected whsec_ and base64 of 24 to 64 bytes. "
            'Make one with: echo "whsec_$(openssl rand -base64 32)"'
        )
    return secret


def refusals(content: bytes) -> dict[str, str]:
    """idempotency_key -> reason of the messages that an answer refuses: `{"rejected": [{"idempotency_key", "reason"}]}`.

    A reason that is more than lower-case letters and _ might tell of a person, and is not kept. An answer that is not a
    JSON object refuses nothing. Raises ValueError where refusals are told in any other form.
    """
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    rejected = answer.get("rejected", []) if isinstance(answer, dict) else []
    if not isinstance(rejected, list) or not all(_names_a_message(entry) for entry in rejected):
        raise ValueError("`rejected` is not a list of {idempotency_key, reason}")
    return {entry["idempotency_key"]: _reason(entry.get("reason")) for entry in rejected}


def receipt(answer: Answer, tried: int) -> Receipt:
    """What became of a parcel, by the last answer of `tried`."""
    if not answer.taken:
        return Receipt(answer.at, False, tried, answer.status, answer.error)
    try:
        return Receipt(answer.at, True, tried, answer.status, refused=refusals(answer.content))
    except ValueError as error:
        return Receipt(answer.at, False, tried, answer.status, f"HTTP {answer.status}, but {error}")


def pause(tried: int, answer: Answer, settings: Webhook, jitter: float) -> float | None:
    """Seconds to wait after the `tried`-th try failed; null when it is not to be tried again in this run.

    `jitter` is a random number from 0 to 1.
    """
    if tried >= settings.attempts or not answer.may_pass:
        return None
    longest = settings.longest_pause_seconds
    asked = asked_for(answer.retry_after, answer.at)
    if asked is not None:
        return None if asked > longest else asked
    return min(longest, settings.backoff_seconds * 2 ** (tried - 1)) * (0.5 + 0.5 * jitter)


def asked_for(retry_after: str | None, at: dt.datetime) -> float | None:
    """Seconds that a Retry-After header asks for, a number or an HTTP date; null without one that can be read."""
    if retry_after is None:
        return None
    if re.fullmatch("[0-9]{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        until = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, (until.replace(tzinfo=until.tzinfo or dt.UTC) - at).total_seconds())
    except (ValueError, OverflowError):
        return None


def _names_a_message(entry: object) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("idempotency_key"), str)


def _reason(value: object) -> str:
    return value if isinstance(value, str) and _REASON.fullmatch(value) else "unstated"
