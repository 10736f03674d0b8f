"""Batches copied to a real S3 server on loopback, from processes that are killed: whole, checked, and once."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from delivery_world import cancellation, child, died, letters, lines, release, run, store, take_back
from moto.server import ThreadedMotoServer

from resources.erasure import NOTE

BATCHES = {"aa": 40, "bb": 3}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def endpoint(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An S3 server with an empty bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    urllib3.request("POST", f"{server}/moto-api/reset")
    client(server).create_bucket(Bucket="batches")
    return server


def client(endpoint: str) -> Any:
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


def held(endpoint: str) -> dict[str, tuple[bytes, Any]]:
    """Every object of the bucket with when it was put there."""
    s3 = client(endpoint)
    found = s3.list_objects_v2(Bucket="batches").get("Contents", [])
    return {o["Key"]: (s3.get_object(Bucket="batches", Key=o["Key"])["Body"].read(), o["LastModified"]) for o in found}


def the_store_holds_what_was_released(endpoint: str, home: Path) -> None:
    folder = home / "dispatch"
    released = {
        f"shop/out/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert {key: content for key, (content, _) in held(endpoint).items()} == released
    assert len(released) == 3 * len(BATCHES)


def test_a_batch_is_copied_whole_with_its_checksums_and_not_again(tmp_path: Path, endpoint: str) -> None:
    messages = letters(BATCHES)
    release(tmp_path, messages, "s3")
    tallies = run(tmp_path, store(tmp_path, endpoint))
    assert [(tally.requests, tally.waiting, tally.last_error) for tally in tallies] == [(1, 0, None)] * 2
    the_store_holds_what_was_released(endpoint, tmp_path)
    taken = lines(tmp_path).filter(event="acknowledged")
    assert sorted(taken["idempotency_key"]) == sorted(messages["idempotency_key"])
    assert set(taken["actor"]) == {"s3"}
    s3 = client(endpoint)
    for key, (content, _) in held(endpoint).items():
        told = s3.head_object(Bucket="batches", Key=key, ChecksumMode="ENABLED")
        assert told["ChecksumSHA256"] == _base64_sha256(content)
    assert run(tmp_path, store(tmp_path, endpoint)) == []


KILLED = """
import os, signal
from delivery_world import run, store
from resources.object_store import ObjectStoreCarrier
put, puts = ObjectStoreCarrier._put, iter(range(100))
def dying(self, *arguments, **more):
    number = next(puts)
    if (number, "before") == at:
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, *arguments, **more)
    if (number, "after") == at:
        os.kill(os.getpid(), signal.SIGKILL)
ObjectStoreCarrier._put = dying
run(Path(home), store(Path(home), endpoint))
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [(0, "before"), (1, "after"), (2, "before"), (2, "after"), (4, "before"), (5, "after")])
def test_kill_9_in_the_middle_and_the_next_run_ends_the_same(tmp_path: Path, endpoint: str, at: Any) -> None:
    messages = letters(BATCHES)
    release(tmp_path, messages, "s3")
    with child(KILLED, home=str(tmp_path), endpoint=endpoint, at=at) as process:
        assert died(process)
    # Who waits for a manifest never sees a batch without its files.
    before = held(endpoint)
    for key, (content, _) in before.items():
        if key.endswith("manifest.json"):
            for name, facts in json.loads(content)["files"].items():
                file, _ = before[key.replace("manifest.json", name)]
                assert hashlib.sha256(file).hexdigest() == facts["sha256"]
    assert all(tally.waiting == 0 for tally in run(tmp_path, store(tmp_path, endpoint)))
    the_store_holds_what_was_released(endpoint, tmp_path)
    done = {key.rsplit("/", 1)[0] for key in before if key.endswith("manifest.json")}
    again = held(endpoint)
    assert all(again[key] == value for key, value in before.items() if key.rsplit("/", 1)[0] in done)
    taken = lines(tmp_path).filter(event="acknowledged")
    assert sorted(taken["idempotency_key"]) == sorted(messages["idempotency_key"])


def test_a_manifest_of_another_hand_is_never_written_over(tmp_path: Path, endpoint: str) -> None:
    release(tmp_path, letters(BATCHES), "s3")
    place = "shop/out/lupe/2025-03-01/aa/manifest.json"
    client(endpoint).put_object(Bucket="batches", Key=place, Body=b"{}")
    one, two = run(tmp_path, store(tmp_path, endpoint))
    assert (one.waiting, one.last_error) == (40, "the store holds another manifest of the batch")
    assert two.waiting == 0
    assert held(endpoint)[place][0] == b"{}"


def test_a_batch_that_an_erasure_rewrote_after_its_upload_is_taken_as_it_was(tmp_path: Path, endpoint: str) -> None:
    release(tmp_path, letters(BATCHES), "s3")
    for batch, released in (("aa", "aa"), ("bb", "another")):
        manifest = tmp_path / "dispatch" / "lupe" / "2025-03-01" / batch / "manifest.json"
        told = {**json.loads(manifest.read_bytes()), "batch_id": batch}
        place = f"shop/out/lupe/2025-03-01/{batch}/manifest.json"
        client(endpoint).put_object(Bucket="batches", Key=place, Body=json.dumps({**told, "batch_id": released}))
        manifest.write_text(json.dumps({**told, NOTE: True}), "utf-8")
    one, two = run(tmp_path, store(tmp_path, endpoint))
    assert (one.waiting, one.last_error) == (0, None)
    assert (two.waiting, two.last_error) == (3, "the store holds another manifest of the batch")


def test_the_cancel_file_of_an_undone_batch_comes_to_the_store(tmp_path: Path, endpoint: str) -> None:
    release(tmp_path, letters(BATCHES), "s3")
    run(tmp_path, store(tmp_path, endpoint))
    take_back(tmp_path, "aa")
    for _ in range(2):
        assert store(tmp_path, endpoint).cancel(cancellation(tmp_path, "aa", "s3")).taken
    folder = tmp_path / "dispatch" / "lupe" / "2025-03-01" / "aa.cancel"
    there = {key.rsplit("/", 1)[1]: told for key, (told, _) in held(endpoint).items() if "/aa.cancel/" in key}
    assert there == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(there) == {"cancel.csv", "cancel.jsonl", "manifest.json"}


def test_a_file_that_was_damaged_after_its_release_is_not_taken(tmp_path: Path, endpoint: str) -> None:
    release(tmp_path, letters({"bb": 3}), "s3")
    file = tmp_path / "dispatch" / "lupe" / "2025-03-01" / "bb" / "messages.csv"
    file.write_bytes(file.read_bytes().replace(b"a", b"b", 1))
    (tally,) = run(tmp_path, store(tmp_path, endpoint))
    assert (tally.waiting, tally.last_error) == (3, "messages.csv is not as it was released")
    assert not [key for key in held(endpoint) if key.endswith("manifest.json")]


def test_no_bucket_no_folder_and_no_store_are_told(tmp_path: Path, endpoint: str) -> None:
    release(tmp_path, letters({"bb": 3}), "s3")
    s3 = client(endpoint)
    s3.delete_bucket(Bucket="batches")
    (tally,) = run(tmp_path, store(tmp_path, endpoint))
    assert (tally.waiting, tally.last_error) == (3, "HTTP 404: NoSuchBucket")
    s3.create_bucket(Bucket="batches")
    (tmp_path / "dispatch").rename(tmp_path / "gone")
    (tally,) = run(tmp_path, store(tmp_path, endpoint))
    assert (tally.waiting, tally.last_error) == (3, "the batch's folder cannot be read: No such file or directory")


def _base64_sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
