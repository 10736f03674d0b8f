"""Drafts of a language model, over a real HTTP server: used when they are true and fit, else the template serves."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dispatch_world import LAPSED, World

from lifecycle_assets.dispatch.fact_check import invented
from lifecycle_assets.dispatch.writer import USED, Drafts
from resources.writers import HttpWriter, Writers

GOOD = {
    "subject": "{first_name}, your favourite cup misses you",
    "text": "It has been quiet without you. Come back and take 10% off your next order.",
}


class Model(ThreadingHTTPServer):
    """An endpoint on loopback that answers with `reply(handler)`, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.reply: Callable[[BaseHTTPRequestHandler], None] = says(GOOD)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(
            {"path": self.path, "key": self.headers["Authorization"], "text": body.decode(), **json.loads(body)}
        )
        self.server.reply(self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class calls it
        """Nothing on the screen."""


def raw(body: bytes, status: int = 200, length: int | None = None, **headers: str) -> Callable[[Any], None]:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body) if length is None else length), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def says(draft: object) -> Callable[[Any], None]:
    content = draft if isinstance(draft, str) else json.dumps(draft)
    return raw(json.dumps({"choices": [{"message": {"content": content}}]}).encode())


def drips(handler: BaseHTTPRequestHandler) -> None:
    raw(b"", length=1000)(handler)
    for _ in range(20):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    monkeypatch.setenv("LIFECYCLE_WRITER_KEY", "secret-7")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Model()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


PEOPLE = {"ana": LAPSED, "bea": {**LAPSED, "first_name": "Zenobia"}, "ida": {**LAPSED, "first_name": None}}


def written(model: Model, folder: Path, people: dict[str, Any] | None = None) -> tuple[list[dict[str, Any]], Drafts]:
    world = World(
        people or PEOPLE, settings=[f"dispatch.writer={{url: '{model.url}', model: m1, timeout_seconds: 0.5}}"]
    )
    writer = Writers(folder).of(world.shop.dispatch.writer)
    assert isinstance(writer, HttpWriter)
    drafts = Drafts(writer, world.shop)
    return world.messages(world.decide(), wording=drafts).to_dicts(), drafts


def test_a_good_draft_is_used_once_per_group_and_asked_for_once_ever(model: Model, tmp_path: Path) -> None:
    rows, drafts = written(model, tmp_path)
    assert list(drafts.told.values()) == [USED]
    assert [row["subject"] for row in rows] == [
        "Ana, your favourite cup misses you",
        "Zenobia, your favourite cup misses you",
        "We miss you at Café Lupe",  # the draft speaks to a name, and she has none
    ]
    assert "It has been quiet without you." in rows[0]["body_text"] and "<p>It has been quiet" in rows[0]["body_html"]
    assert "Hello Ana," in rows[0]["body_text"] and rows[0]["url"] in rows[0]["body_text"]
    (asked,) = model.asked
    assert (asked["path"], asked["key"], asked["model"]) == ("/v1/chat/completions", "Bearer secret-7", "m1")
    for secret in ("Ana", "Zenobia", "someone@example.com", rows[0]["idempotency_key"]):
        assert secret not in asked["text"]
    model.reply = raw(b"", status=500)
    assert written(model, tmp_path)[0] == rows
    assert len(model.asked) == 1


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        ({**GOOD, "text": "Take 15% off and 10% off."}, "the number '15 %'"),
        ({**GOOD, "text": "10% off, for 10 days."}, "the number '10 days'"),
        ({**GOOD, "text": "10% off, and free delivery."}, "the promise 'free'"),
        ({**GOOD, "text": "10% off. Ends on Sunday."}, "the day 'Sunday'"),
        ({**GOOD, "text": "10% off our Nespresso."}, "the name 'Nespresso'"),
        ({**GOOD, "text": "10% off at cafe-lupe.com now."}, "the address 'cafe-lupe.com'"),
        ({**GOOD, "text": "10% off with code SAVE10."}, "the code 'SAVE10'"),
        ({**GOOD, "text": "Come back soon."}, "does not tell 10"),
        ({**GOOD, "text": "{name}, take 10% off."}, "holds the sign {"),
        ({**GOOD, "text": "{{ shop }}: take 10% off."}, "holds the sign {"),
        ({**GOOD, "text": "<b>10% off</b>"}, "holds the sign <"),
        ({**GOOD, "text": "10% off. " + "So good. " * 100}, "characters, at most 600"),
        ({**GOOD, "text": "10% off, and another 10% on top."}, "the number '10 %' 2 times"),
        ({**GOOD, "text": "10% off, or even forty percent."}, "the number word 'forty'"),
        ({**GOOD, "text": " "}, "has an empty part"),
        ({**GOOD, "text": "10% off \ud800"}, "holds half a character"),
        ("[" * 60_000, "is not JSON"),
        ({**GOOD, "url": "x"}, "does not have the fields subject, text"),
        (["10% off"], "does not have the fields subject, text"),
        ("Sure! Here is your message: 10% off", "is not JSON"),
    ],
)
def test_a_draft_that_lies_or_does_not_fit_is_refused_and_why_is_told(
    model: Model, tmp_path: Path, draft: object, why: str
) -> None:
    model.reply = says(draft)
    rows, drafts = written(model, tmp_path)
    (told,) = drafts.told.values()
    assert told.startswith("template: the draft ") and why in told
    template, _ = written(model, tmp_path)
    assert rows == template and rows[0]["subject"] == "Ana, we miss you at Café Lupe"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (lambda _: time.sleep(1.5), "did not answer within 0.5 s"),
        (drips, "did not answer within 0.5 s"),
        (raw(b"{}", status=500), "status 500"),
        (raw(b"", status=307, Location="http://127.0.0.1:1/"), "status 307"),
        (raw(b"x" * 100_000), "more than 64000 bytes"),
        (raw(b'{"choices": []}'), "not that of a chat completion"),
        (raw(b"[" * 60_000), "not that of a chat completion"),
        (raw(b'{"choices": [{"message": {"content": "10% off \\ud800"}}]}'), "holds half a character"),
        (raw(b'{"cho', length=500), "broke off"),
        (lambda handler: handler.wfile.write(b"garbage\r\n\r\n"), "broke off"),
    ],
)
def test_a_writer_that_fails_costs_one_question_and_nothing_else(
    model: Model, tmp_path: Path, reply: Callable[[Any], None], why: str
) -> None:
    model.reply = reply
    people = {**PEOPLE, "pia": {**LAPSED, "locale": "pt"}, "eva": {**LAPSED, "locale": "es"}}
    rows, drafts = written(model, tmp_path, people)
    assert [row["subject"] for row in rows][:2] == [
        "Ana, we miss you at Café Lupe",
        "Zenobia, we miss you at Café Lupe",
    ]
    assert len(drafts.told) == 3 and all(why in told and "secret-7" not in told for told in drafts.told.values())
    assert len(model.asked) == 1
    assert not list(tmp_path.rglob("*.txt"))


FACTS = {
    "en": "Café Lupe\n10 %\nBACK10\nCome back and take 10% off your next order.",
    "es": "Café Lupe\n10 %\nVuelve y llévate un 10 % de descuento en el próximo pedido.",
    "pt": "Café Lupe\n10 %\nVolte e ganhe 10% de desconto no próximo pedido.",
}


@pytest.mark.parametrize(
    ("language", "draft", "expected"),
    [
        ("en", "Café Lupe misses you. Come back: 10 percent off with BACK10.", None),
        ("en", "I think you will like it. We'll see you soon!", None),
        ("en", "Half off everything.", "the number word 'Half'"),
        ("en", "$10 off.", "the number '$10 off'"),
        ("en", "10.5% off.", "the number '10.5 %'"),
        ("en", "Write to help@lupe.example.", "the address 'help@lupe.example'"),
        ("en", 'Try the "golden blend".', "the quotation 'golden blend'"),
        ("en", "A NEW cup.", "the name 'NEW'"),
        ("en", "You are guaranteed to like it.", "the promise 'guarant'"),
        ("es", "Te echamos de menos. Un 10 por ciento de descuento te espera en Café Lupe.", None),
        ("es", "Envío gratis hoy.", "the day 'hoy'"),
        ("es", "Última oportunidad.", "the promise 'Última'"),
        ("es", "Llévate dos tazas.", "the number word 'dos'"),
        ("pt", "Sentimos a sua falta. Volte com 10% de desconto.", None),
        ("pt", "Só até domingo.", "the day 'domingo'"),
        ("pt", "Frete grátis.", "the promise 'grátis'"),
        ("en", "Come back and save forty percent.", "the number word 'forty'"),
        ("en", "Come back and save sixty percent.", "the number word 'sixty'"),
        ("en", "Save ninety dollars.", "the number word 'ninety'"),
        ("en", "A dozen cups.", "the number word 'dozen'"),
        ("en", "Thirteen cups for you.", "the number word 'Thirteen'"),
        ("en", "Just this once: a cup.", "the number word 'once'"),
        ("en", "Buy one.", "the number word 'one'"),
        ("en", "Save ½ of it.", "the number sign '½'"),
        ("en", "A third off.", "the number word 'third'"),
        ("en", "You get it for nothing.", "the promise 'for nothing'"),
        ("en", "Umpteen percent off.", "the percentage 'percent'"),
        ("en", "10% off, and another 10 % on top.", "the number '10 %' 2 times"),
        ("es", "Vuelve y ahorra el cuarenta por ciento.", "the number word 'cuarenta'"),
        ("es", "A mitad de precio.", "the number word 'mitad'"),
        ("es", "Media docena de tazas.", "the number word 'Media'"),
        ("es", "Muchísimo por ciento.", "the percentage 'por ciento'"),
        ("pt", "Volte e ganhe quarenta por cento.", "the number word 'quarenta'"),
        ("pt", "Uma dúzia de xícaras.", "the number word 'dúzia'"),
        ("pt", "Meio preço.", "the number word 'Meio'"),
    ],
)
def test_what_the_facts_do_not_say_is_found(language: str, draft: str, expected: str | None) -> None:
    assert invented(draft, FACTS[language].splitlines(), language) == expected
