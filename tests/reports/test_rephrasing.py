"""A language model's wording of a report, over a real HTTP server: used where it says the same, else the sentence stays."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cases import told, undrawn

from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.rephrasing import Rephrased, rephrased, same
from lifecycle_assets.reports.report import Report
from lifecycle_assets.settings import WritingModel
from resources.writers import HttpWriter

Answer = Callable[[list[str]], object]
ROSE = Sentence("Revenue rose by 6.6% to $379,240.", (("a", "6.6%"), ("b", "$379,240")))
SUBIO = Sentence("Los ingresos aumentaron un 7 % hasta 379.240 €.", (("a", "7 %"), ("b", "379.240 €")))
NADA = Sentence("Nada sai nesta noite.")


@pytest.mark.parametrize(
    ("sentence", "language", "wording", "holds"),
    [
        (ROSE, "en", "At $379,240, revenue is up 6.6%.", True),
        (ROSE, "en", "Revenue fell by 6.6% to $379,240.", False),
        (ROSE, "en", "Revenue did not rise by 6.6% to $379,240.", False),
        (ROSE, "en", "Revenue rose by 6.7% to $379,240.", False),
        (ROSE, "en", "Revenue rose by 6.6%.", False),
        (ROSE, "en", "Revenue rose by 6.6% to $379,240, 6.6% more.", False),
        (ROSE, "en", "Revenue rose by 6.6% to $379,240 since Monday.", False),
        (ROSE, "en", "Revenue rose by 6.6% to $379,240 thanks to Anna.", False),
        (ROSE, "en", "Revenue rose by 6.6% to **$379,240**.", False),
        (ROSE, "en", "Revenue rose by 6.6% to $379,240." + " It did so well indeed" * 5, False),
        (ROSE, "en", " ", False),
        (SUBIO, "es", "Con un 7 % de aumento, los ingresos alcanzan 379.240 €.", True),
        (SUBIO, "es", "Los ingresos cayeron un 7 % hasta 379.240 €.", False),
        (NADA, "pt", "Nesta noite, nada será enviado.", True),
        (NADA, "pt", "Tudo sai nesta noite.", False),
        (Sentence("A rose and B fell."), "en", "B rose and A fell.", False),
    ],
)
def test_a_wording_is_used_only_where_it_says_the_same(
    sentence: Sentence, language: str, wording: str, holds: bool
) -> None:
    assert same(sentence, wording, language) is holds


@pytest.fixture
def model() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked, server.answer = [], lambda sentences: sentences  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        brief = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
        self.server.asked.append(brief)
        answer = self.server.answer(json.loads(brief[brief.index("\n\n") :]))
        content = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        body = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.send_response(500 if answer is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class calls it
        """Nothing on the screen."""


def worded(server: Any, folder: Path, answer: Answer) -> Rephrased:
    server.answer = answer
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    return rephrased(_plain(), HttpWriter(WritingModel(url=url, model="m"), folder, None))


@cache
def _plain() -> Report:
    with undrawn():
        return told("lifecycle", "rising", "en-US")


def test_words_change_and_every_number_stays(model: ThreadingHTTPServer, tmp_path: Path) -> None:
    report, used, problem = worded(
        model, tmp_path, lambda said: [f"In short: {one[0].lower()}{one[1:]}" for one in said]
    )
    texts = {row["text"] for row in report.json["text"]}
    assert not problem and used > 20 and sum(text.startswith("In short: ") for text in texts) >= used / 2
    before, after = _plain().json["text"], report.json["text"]
    assert [row["facts"] for row in before] == [row["facts"] for row in after]
    assert [row["text"] for row in before if row["place"] in {"headline", "notice", "tile"}] == [
        row["text"] for row in after if row["place"] in {"headline", "notice", "tile"}
    ]


@pytest.mark.parametrize(
    "answer",
    [
        lambda said: [f"{one} That is 99% sure." for one in said],
        lambda said: said[:-1],
        lambda said: "I would rather not",
        lambda said: [7 for _ in said],
        lambda said: [one.replace("more", "less") if "more" in one else one for one in said],
    ],
)
def test_what_does_not_hold_leaves_the_sentences(model: ThreadingHTTPServer, tmp_path: Path, answer: Answer) -> None:
    report, used, problem = worded(model, tmp_path, answer)
    assert (used, problem) == (0, "") and report.html == _plain().html


def test_a_model_that_fails_is_asked_once(model: Any, tmp_path: Path) -> None:
    report, used, problem = worded(model, tmp_path, lambda said: None)
    assert used == 0 and report.html == _plain().html and len(model.asked) == 1 and "status 500" in problem


def test_no_row_of_a_table_is_sent(model: Any, tmp_path: Path) -> None:
    worded(model, tmp_path, lambda said: said)
    sent = "\n".join(model.asked)
    assert model.asked and "c0001" not in sent and sys.getsizeof(sent) < 60_000
