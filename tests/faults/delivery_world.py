"""Released batches on disk, one run that carries them, and a receiver of one's own that has every fault there is."""

import base64
import datetime as dt
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import standardwebhooks

from lifecycle_assets.dispatch import carrying, deliveries, ledger
from lifecycle_assets.dispatch.destinations import generic
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.dispatch.undo import Undone, undo
from lifecycle_assets.settings import S3, Webhook
from resources.delivery import Delivery
from resources.object_store import ObjectStoreCarrier
from resources.warehouse.lake import Lake
from resources.webhook import WebhookCarrier

AS_OF = dt.date(2025, 3, 1)
AT = dt.datetime(2025, 3, 2, 2, tzinfo=dt.UTC)
SECRET = b"a secret of thirty-two bytes....."
QUICK = {"chunk": 7, "timeout_seconds": 0.3, "backoff_seconds": 0.02, "longest_pause_seconds": 1.5}
FOREVER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


def letters(batches: dict[str, int], expires_at: dt.datetime = FOREVER, as_of: dt.date = AS_OF) -> pl.DataFrame:
    """So many messages of each batch, whole rows of dispatch.messages."""
    names = [(batch, f"{batch}-{number:03d}") for batch, size in batches.items() for number in range(size)]
    given: dict[str, Any] = {"shop_id": "lupe", "as_of": as_of, "step": 1, "channel": "email", "programme": "winback"}
    given |= {"send_at": AT, "send_at_local": AT.replace(tzinfo=None), "expires_at": expires_at}
    given |= {"discount_pct": 10.0, "expected_value": 1, "subject": 'Olá "você" 👋\n', "body_html": "<p>a &amp; b</p>"}
    rows = [
        {"batch_id": batch, "idempotency_key": f"k{name}", "customer_id": name, "address": f"{name}@example.com"}
        for batch, name in names
    ]
    given = {name: None if column.nullable else "x" for name, column in Messages.columns.items()} | given
    columns = {
        name: pl.Series(name, [row.get(name, given[name]) for row in rows], dtype=dtype, strict=False)
        for name, dtype in Messages.polars_schema.items()
    }
    return pl.DataFrame(columns).sort("customer_id")


def lake_of(home: Path) -> Lake:
    return Lake(home / "warehouse", [Messages, Ledger])


def release(home: Path, messages: pl.DataFrame, destination: str | None) -> None:
    """Let a night's batches lie there as a run leaves them that ends right after their release."""
    lake, delivery = lake_of(home), Delivery(home / "dispatch")
    as_of = messages["as_of"][0]
    lake.write(Messages, "lupe", as_of, messages)
    planned = ledger.lines_of(messages, "planned", at=AT, run="night")
    lake.append(Ledger, "lupe", as_of, deliveries.addressed(planned, destination))
    for (batch,), part in messages.group_by("batch_id", maintain_order=True):
        hashes_of = lambda hashes: json.dumps({"files": {n: {"sha256": h} for n, h in hashes.items()}}).encode()  # noqa: E731
        delivery.put("lupe", as_of, str(batch), generic.files(part), hashes_of)
    lake.append(Ledger, "lupe", as_of, ledger.lines_of(messages, "exported", at=AT, run="night"))


def lines(home: Path) -> pl.DataFrame:
    return lake_of(home).scan(Ledger, "lupe").collect()


def run(
    home: Path, carrier: carrying.Carrier, withdrawn: tuple[str, ...] = (), archive: bool = False
) -> list[carrying.Tally]:
    """One run over everything that is due."""
    lake = lake_of(home)

    def load(as_of: dt.date, batch_id: str) -> pl.DataFrame:
        stored = lake.scan_night(Messages, "lupe", as_of)
        assert stored is not None
        return stored.filter(pl.col("batch_id") == batch_id).collect()

    stock = carrying.Stock(
        "lupe",
        "night",
        load,
        lambda messages: deliveries.still_due(messages, lake.scan(Ledger, "lupe"), carrier.destination),
        lambda messages: messages.filter(pl.col("customer_id").is_in(withdrawn)).select("customer_id"),
        lambda new: lake.append(Ledger, "lupe", AS_OF, new) and None,
        lambda text: None,
        archive,
    )
    return carrying.carry(deliveries.due(lake.scan(Ledger, "lupe"), carrier.destination), carrier, stock)


def take_back(home: Path, batch: str) -> Undone:
    """Undo a batch."""
    lake = lake_of(home)
    return undo(
        lake.scan(Ledger, "lupe"),
        batch,
        shop="lupe",
        at=AT,
        run="by hand",
        actor="eva",
        delivery=Delivery(home / "dispatch"),
        append=lambda new: lake.append(Ledger, "lupe", AS_OF, new) and None,
    )


def cancellation(home: Path, batch: str, destination: str) -> carrying.Parcel:
    """What the receiver is to be told of an undone batch."""
    messages = deliveries.to_cancel(lake_of(home).scan(Ledger, "lupe"), batch, destination)
    return carrying.Parcel("lupe", AS_OF, batch, messages, None)


def webhook(url: str, **settings: Any) -> WebhookCarrier:
    import numpy as np

    return WebhookCarrier(Webhook(url=url, **{**QUICK, **settings}), SECRET, np.random.default_rng(0))


def store(home: Path, endpoint: str) -> ObjectStoreCarrier:
    settings = S3(bucket="batches", prefix="shop/out", endpoint_url=endpoint, region="us-east-1")
    return ObjectStoreCarrier(settings, Delivery(home / "dispatch"))


@contextmanager
def child(code: str, **names: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own that runs the code with these names set; it does not outlive the test."""
    given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    head = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom pathlib import Path\n{given}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-c", head + code], env=environment, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class Receiver:
    """An HTTP server that acts once per Idempotency-Key, and whose `fault` decides what goes wrong with each request.

    `log` is what it delivered, `refused` what it refused, `cancelled` what it was told to cancel, in order; `requests` every
    request with its key and body.
    """

    def __init__(self, fault: Callable[[int, bytes], str] = lambda *_: "none", rejects: tuple[str, ...] = ()) -> None:
        self.fault, self.rejects = fault, rejects
        self.log: list[str] = []
        self.refused: list[str] = []
        self.cancelled: list[str] = []
        self.requests: list[tuple[str, bytes]] = []
        self.answers: dict[str, bytes] = {}
        self.at: list[float] = []
        self.kill: Callable[[], None] = lambda: None
        self.turn = threading.Lock()

    def act(self, key: str, body: bytes) -> bytes:
        """Deliver the messages of a request that is new; the answer, the same as before for one that is known."""
        with self.turn:
            if key not in self.answers:
                told = json.loads(body)
                if told.get("type") == "cancel":
                    self.cancelled += told["idempotency_keys"]
                    return b""
                keys = [message["idempotency_key"] for message in told["messages"]]
                rejected = [{"idempotency_key": k, "reason": "invalid_address"} for k in keys if k in self.rejects]
                self.log += [k for k in keys if k not in self.rejects]
                self.refused += [entry["idempotency_key"] for entry in rejected]
                self.answers[key] = json.dumps({"rejected": rejected} if rejected else {}).encode()
            return self.answers[key]

    @contextmanager
    def listening(self) -> Iterator[str]:
        """The receiver's address while it runs."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.handle(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        key = request.headers["Idempotency-Key"]
        with self.turn:
            fault = self.fault(len(self.requests), body)
            self.requests.append((key, body))
            self.at.append(time.monotonic())
        secret = base64.b64encode(SECRET).decode()
        standardwebhooks.Webhook(f"whsec_{secret}").verify(body, dict(request.headers.items()))
        if fault == "killed before it acted":
            self.kill()
        if fault in {"500", "400", "301"} or fault.startswith("429"):
            status, _, after = fault.partition(" ")
            headers = {"Retry-After": after} if after else {}
            headers |= {"Location": "/elsewhere"} if fault == "301" else {}
            self.answer(request, int(status), b"someone@example.com is unknown", headers)
        elif fault == "dropped before it acted":
            hang_up(request)
        else:
            content = self.act(key, body)
            if fault == "killed after it acted":
                self.kill()
            if fault == "acted and late":
                time.sleep(0.5)
            if fault == "acted and dropped":
                hang_up(request)
            elif fault == "acted and cut off":
                self.answer(request, 200, content, {"Content-Length": str(len(content) + 9)})
                hang_up(request)
            else:
                self.answer(request, 200, content)
            if fault == "killed after it answered":
                self.kill()

    @staticmethod
    def answer(
        request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        try:
            request.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            pass  # the sender has gone


def hang_up(request: BaseHTTPRequestHandler) -> None:
    """Reset the connection."""
    linger = b"\1\0\0\0\0\0\0\0"
    try:
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    request.close_connection = True


def mixture(seed: int, killed: bool) -> Callable[[int, bytes], str]:
    """Two of three requests meet a fault, drawn anew for each; the hundredth and later ones meet none."""
    drawn = random.Random(seed)  # noqa: S311
    faults = ["500", "429 0", "429 1", "dropped before it acted", "acted and late", "acted and dropped"]
    faults += ["acted and cut off", "400"]
    faults += ["killed before it acted", "killed after it acted", "killed after it answered"] if killed else []
    return lambda number, _: drawn.choice(faults) if number < 100 and drawn.random() < 2 / 3 else "none"


def died(process: subprocess.Popen[bytes]) -> bool:
    """Wait for the end of a child; whether it was killed. Anything but its own or a killed end fails the test."""
    _, error = process.communicate(timeout=60)
    assert process.returncode in {0, -signal.SIGKILL}, error.decode()
    return process.returncode != 0
