"""`lifecycle serve` as a browser meets it: the reports and nothing else of the home, read-only."""

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NIGHT = "shop/2024-06-30"


def command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lifecycle_assets.cli", *arguments, "--home", str(home)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "LIFECYCLE_HOME": "", "NO_PROXY": "*"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    night = home / "reports" / NIGHT
    night.mkdir(parents=True)
    (home / "reports" / "index.html").write_text("<h1>Gallery</h1>")
    (home / "reports" / ".lock").write_text("hidden")
    (home / "secret.txt").write_text("secret")
    (home / "reports" / "link.txt").symlink_to(home / "secret.txt")
    (night / "lifecycle.en.html").write_text("<h1>Report</h1>")
    (night / "lifecycle.en.pdf").write_bytes(b"%PDF-1.7")
    (night / "lifecycle.en.json").write_text("{}")
    return home


@pytest.fixture(scope="module")
def port(home: Path) -> Iterator[int]:
    server = subprocess.Popen(
        command(home, "serve", "--port", "0"), stderr=subprocess.PIPE, text=True, env=environment(), cwd=home
    )
    assert server.stderr is not None
    told = server.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", told)
    assert found, told
    yield int(found[1])
    server.send_signal(signal.SIGINT)
    assert "Traceback" not in server.communicate(timeout=20)[1]


def answer(
    port: int, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


def test_the_gallery_is_what_the_address_shows(port: int) -> None:
    status, headers, body = answer(port, "/")
    assert (status, body) == (200, b"<h1>Gallery</h1>")
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("suffix", "kind"), [("html", "text/html"), ("pdf", "application/pdf"), ("json", "application/json")]
)
def test_a_report_comes_in_its_format_to_read_or_to_keep(port: int, suffix: str, kind: str) -> None:
    path = f"/{NIGHT}/lifecycle.en.{suffix}"
    status, headers, _ = answer(port, path)
    assert status == 200 and headers["Content-Type"].startswith(kind) and "Content-Disposition" not in headers
    _, headers, _ = answer(port, f"{path}?download=1")
    name = f"shop_2024-06-30_lifecycle.en.{suffix}"
    assert headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}"


def test_head_tells_the_size_and_no_body(port: int) -> None:
    status, headers, body = answer(port, f"/{NIGHT}/lifecycle.en.pdf", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "8", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(port: int, home: Path, method: str) -> None:
    assert answer(port, f"/{NIGHT}/lifecycle.en.html", method)[0] == 405
    assert (home / "reports" / NIGHT / "lifecycle.en.html").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/shop/%2e%2e/%2e%2e/secret.txt",
        "//secret.txt",
        "/..%5csecret.txt",
        "/link.txt",
        "/.lock",
        "/shop/../.lock",
        "/%2elock",
        "/shop/",
        "/nowhere.html",
        "/index.html%00.txt",
    ],
)
def test_nothing_but_reports_can_be_read(port: int, path: str) -> None:
    status, _, body = answer(port, path)
    assert status in {400, 404} and b"secret" not in body and b"hidden" not in body


def test_another_name_that_leads_here_is_turned_away(port: int) -> None:
    assert answer(port, "/", host="evil.example")[0] == 400
    assert answer(port, "/", host=f"localhost:{port}")[0] == 200


def test_a_taken_port_and_a_home_without_reports_are_told(port: int, home: Path, tmp_path: Path) -> None:
    for place, said in ((home, f"cannot listen on 127.0.0.1 port {port}"), (tmp_path, "no reports in")):
        done = subprocess.run(
            command(place, "serve", "--port", str(port)), capture_output=True, text=True, env=environment(), check=False
        )
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_an_open_address_is_warned_of(home: Path) -> None:
    server = subprocess.Popen(
        command(home, "serve", "--port", "0", "--host", "0.0.0.0"),  # noqa: S104
        stderr=subprocess.PIPE, text=True, env=environment(), cwd=home,
    )  # fmt: skip
    assert server.stderr is not None
    found = re.search(r"http://0\.0\.0\.0:(\d+)/", server.stderr.readline())
    assert found and "no log-in" in server.stderr.readline()
    assert answer(int(found[1]), "/")[0] == 200
    server.terminate()
    server.communicate(timeout=20)


def test_the_reports_are_listed_with_their_formats(home: Path) -> None:
    done = subprocess.run(
        command(home, "reports"), capture_output=True, text=True, env=environment(), check=True, cwd=home
    )
    assert done.stdout.split() == [
        "2024-06-30", "shop", "lifecycle.en", "html", "json", "pdf", str(home / "reports" / NIGHT / "lifecycle.en.html"),
    ]  # fmt: skip
