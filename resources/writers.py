"""The language model that drafts messages and words reports, over HTTP: any endpoint that speaks OpenAI's chat completions.

Answers are kept in `<home>/drafts/`, by the hash of endpoint, model and brief, so that a night that is run again gets the same
draft without asking. The key is read from LIFECYCLE_WRITER_KEY; no redirect is followed, so that it goes nowhere else.
"""

import hashlib
import json
import os
from http import HTTPStatus
from pathlib import Path

from lifecycle_assets.errors import DispatchError
from lifecycle_assets.settings import WritingModel
from resources.files import replace
from resources.post import post

KEY = "LIFECYCLE_WRITER_KEY"
MOST_BYTES = 64_000


class Writers:
    """The writers that shops' settings name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, model: WritingModel | None) -> "HttpWriter | None":
        """The writer of a setting; None where it names none."""
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
        seconds = self._model.timeout_seconds
        try:
            reply = post(url, json.dumps(body).encode(), headers, seconds=seconds, most=MOST_BYTES)
        except TimeoutError as error:
            raise DispatchError(f"the writer did not answer within {seconds:g} s") from error
        except OSError as error:
            raise DispatchError(f"the writer cannot be reached, or broke off: {error}") from error
        if reply.status != HTTPStatus.OK:
            raise DispatchError(f"the writer answered with status {reply.status}")
        return _content(reply.content)


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
