"""Posts parcels of messages to an HTTPS webhook: signed, with a key to act once per parcel, tried again after a pause.

What is in a request and what an answer means is in lifecycle_assets/dispatch/webhooks.py. Redirects are not followed: the
messages are personal, and go to the configured address alone.
"""

import datetime as dt
import time

import numpy as np
import urllib3

from lifecycle_assets.dispatch import webhooks
from lifecycle_assets.dispatch.carrying import Parcel, Receipt
from lifecycle_assets.dispatch.webhooks import Answer
from lifecycle_assets.settings import Webhook

LARGEST_ANSWER = 4_000_000
"""Bytes; a list of ten thousand refused messages takes two million."""


class WebhookCarrier:
    """The way to one shop's webhook; `jitter` are the random numbers that spread the pauses."""

    destination = "webhook"

    def __init__(self, settings: Webhook, secret: bytes, jitter: np.random.Generator) -> None:
        self.settings = settings
        self.chunk: int | None = settings.chunk
        self.jitter = jitter
        self._secret = secret
        self._pool = urllib3.PoolManager(retries=False)

    def clock(self) -> dt.datetime:
        return dt.datetime.now(tz=dt.UTC)

    def carry(self, parcel: Parcel) -> Receipt:
        """Post the parcel until it is taken or may not be tried again; what the last answer was is in the receipt."""
        return self._carry(parcel, parcel.key, webhooks.body(parcel))

    def cancel(self, parcel: Parcel) -> Receipt:
        """Post one request that takes the parcel's messages back, as often as one that carries them."""
        return self._carry(parcel, webhooks.cancellation_key(parcel), webhooks.cancellation(parcel))

    def _carry(self, parcel: Parcel, key: str, content: bytes) -> Receipt:
        tried = 1
        answer = self._post(key, content)
        while (pause := self._pause(tried, answer)) is not None and not _too_late(parcel, answer.at, pause):
            time.sleep(pause)
            tried += 1
            answer = self._post(key, content)
        return webhooks.receipt(answer, tried)

    def _pause(self, tried: int, answer: Answer) -> float | None:
        return webhooks.pause(tried, answer, self.settings, self.jitter.random())

    def _post(self, key: str, content: bytes) -> Answer:
        seconds = self.settings.timeout_seconds
        deadline = time.monotonic() + seconds
        try:
            response = self._pool.request(
                "POST",
                self.settings.url,
                body=content,
                headers=webhooks.headers(self._secret, key, self.clock(), content),
                timeout=urllib3.Timeout(total=seconds),
                redirect=False,
                preload_content=False,
            )
            with response:
                told = _read(response, deadline)
        except (TimeoutError, urllib3.exceptions.TimeoutError):
            return Answer(self.clock(), None, error=f"no answer within {seconds:g} s")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            # The kind of error alone: its text may hold the address, and what the receiver sent.
            return Answer(self.clock(), None, error=f"no answer: {type(error).__name__}")
        return Answer(
            self.clock(), response.status, told, response.headers.get("Retry-After"), f"HTTP {response.status}"
        )


def _too_late(parcel: Parcel, at: dt.datetime, pause: float) -> bool:
    return parcel.expires_at is not None and at + dt.timedelta(seconds=pause) >= parcel.expires_at


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """The whole answer; raises TimeoutError where it trickles in, or does not end."""
    content = b""
    while piece := response.read1(65_536):
        content += piece
        if time.monotonic() > deadline or len(content) > LARGEST_ANSWER:
            raise TimeoutError
    return content
