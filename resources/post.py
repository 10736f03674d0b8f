"""One HTTP POST and its whole answer, in a given time and size. No redirect is followed: what is sent goes to one address."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import urllib3

PIECE = 65_536


class Reply(NamedTuple):
    """What came back; `retry_after` is the header as it is written."""

    status: int
    content: bytes
    retry_after: str | None


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, most: int) -> Reply:
    """Send once. Raises TimeoutError when the answer is not whole after `seconds`, and ConnectionError when none comes, or one
    of more than `most` bytes. Neither error tells the address, or what was sent and answered."""
    deadline = time.monotonic() + seconds
    content = b""
    try:
        with urllib3.request(
            "POST",
            url,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(total=seconds),
            redirect=False,
            retries=False,
            preload_content=False,
        ) as response:
            while piece := response.read1(PIECE):
                content += piece
                if time.monotonic() > deadline:
                    raise TimeoutError
                if len(content) > most:
                    raise ConnectionError(f"more than {most} bytes")
    except urllib3.exceptions.TimeoutError as error:
        raise TimeoutError from error
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(type(error).__name__) from error
    return Reply(response.status, content, response.headers.get("Retry-After"))
