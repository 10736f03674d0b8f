"""The language model that drafts messages, over HTTP: any endpoint that speaks OpenAI's chat completions.

Answers are kept in `<home>/drafts/`, by the hash of endpoint, model and brief, so that a night that is run again gets the same
draft without asking. The key is read from LIFECYCLE_WRITER_KEY; no redirect is followed, so that it goes nowhere else.
"""

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from lifecycle_assets.errors import DispatchError
from lifecycle_assets.settings import Shop, WritingModel
from resources.files import replace

KEY = "LIFECYCLE_WRITER_KEY"
MOST_BYTES = 64_000


class Writers:
    """Each shop's writer, where it has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, shop: Shop) -> "HttpWriter | None":
        """The writer that the shop's settings name; None where they name none."""
        model = shop.dispatch.writer
        return None if model is None else HttpWriter(model, self.folder, os.environ.get(KEY))


class HttpWriter:
    """One model at one endpoint; what it answered before it answers again."""

    def __init__(self, model: WritingModel, folder: Path, key: str | None) -> None:
        self._model, self._folder, self._key = model, folder, key

    def draft(self, brief: str) -> str:
        """The model's answer. Raises DispatchError when none comes in time, or none that can be read."""
        asked = json.dumps([self._model.url, self._model.model, brief])
        path = self._folder / f"{hashlib.sha256(asked.encode()).hexdigest()}.txt"
        if path.exists():
            return path.read_text("utf-8")
        answer = self._answer(brief)
        self._folder.mkdir(parents=True, exist_ok=True)
        replace(path, answer.encode())
        return answer

    def _answer(self, brief: str) -> str:
        body = {"model": self._model.model, "temperature": 0, "messages": [{"role": "user", "content": brief}]}
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        url = f"{self._model.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - http(s) by the settings
        try:
            return _content(self._sent(request))
        except urllib.error.HTTPError as error:
            raise DispatchError(f"the writer answered with status {error.code}") from error
        except TimeoutError as error:
            raise DispatchError(f"the writer did not answer within {self._model.timeout_seconds:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", None), TimeoutError):
                raise DispatchError(f"the writer did not answer within {self._model.timeout_seconds:g} s") from error
            raise DispatchError("the writer cannot be reached, or broke off") from error

    def _sent(self, request: urllib.request.Request) -> bytes:
        until = time.monotonic() + self._model.timeout_seconds
        content = b""
        with _OPENER.open(request, timeout=self._model.timeout_seconds) as response:
            while chunk := response.read1(MOST_BYTES):
                content += chunk
                if len(content) > MOST_BYTES:
                    raise DispatchError(f"the writer's answer has more than {MOST_BYTES} bytes")
                if time.monotonic() > until:
                    raise TimeoutError
            if response.length:
                raise http.client.IncompleteRead(content, response.length)
        return content


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _content(answer: bytes) -> str:
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DispatchError("the writer's answer is not that of a chat completion") from error
    if not isinstance(content, str):
        raise DispatchError("the writer's answer has no text")
    try:
        content.encode()
    except UnicodeEncodeError as error:
        raise DispatchError("the writer's answer holds half a character") from error
    return content
