"""Posts parcels of messages to an HTTPS webhook: signed, with a key to act once per parcel, tried again after a pause.

What is in a request and what an answer means is in lifecycle_assets/dispatch/webhooks.py.
"""

import datetime as dt
import time

import numpy as np

from lifecycle_assets.dispatch import webhooks
from lifecycle_assets.dispatch.carrying import Parcel, Receipt
from lifecycle_assets.dispatch.webhooks import Answer
from lifecycle_assets.settings import Webhook
from resources.post import post

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
        headers = webhooks.headers(self._secret, key, self.clock(), content)
        try:
            reply = post(self.settings.url, content, headers, seconds=seconds, most=LARGEST_ANSWER)
        except TimeoutError:
            return Answer(self.clock(), None, error=f"no answer within {seconds:g} s")
        except OSError as error:
            return Answer(self.clock(), None, error=f"no answer: {error}")
        return Answer(self.clock(), reply.status, reply.content, reply.retry_after, f"HTTP {reply.status}")


def _too_late(parcel: Parcel, at: dt.datetime, pause: float) -> bool:
    return parcel.expires_at is not None and at + dt.timedelta(seconds=pause) >= parcel.expires_at
