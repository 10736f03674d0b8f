"""A version is stored whole or not at all; the champion is never one from the future; what was changed is refused."""

import datetime as dt
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lifecycle_assets.errors import LifecycleError, ModelStoreError
from resources.model_store import ModelStore

ROOT = Path(__file__).parents[2]
DAY = dt.date(2024, 5, 1)


def rows(auc: float) -> pl.DataFrame:
    return pl.DataFrame({"candidate": ["logistic", "baseline"], "roc_auc": [auc, 0.5], "seconds": [1.25, None]})


def put(store: ModelStore, day: dt.date = DAY, content: bytes = b"weights", *, takes_over: bool = True) -> int:
    card = {"candidate": "logistic", "parameters": {"penalty": 0.5}, "note": "naïve"}
    return store.put("a", "churn_risk", day, {"model.json": content}, card, rows(0.8), takes_over=takes_over)


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assert store.champion("a", "churn_risk", DAY) is None
    assert store.latest("a", "churn_risk", DAY) is None
    assert put(store) == 1
    stored = ModelStore(tmp_path / "models").champion("a", "churn_risk", DAY)
    assert stored is not None
    assert (stored.version, stored.trained_as_of, stored.files) == (1, DAY, {"model.json": b"weights"})
    assert stored.card == {"candidate": "logistic", "parameters": {"penalty": 0.5}, "note": "naïve"}
    assert_frame_equal(stored.evaluation, rows(0.8))
    assert store.names("a") == ["churn_risk"]
    assert store.names("b") == []
    assert store.champion("b", "churn_risk", DAY) is None


def test_the_champion_of_a_night_is_the_last_one_trained_by_then(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    for days in (20, 0, 10):  # the nights may be run in any order
        put(store, DAY + dt.timedelta(days=days))
    in_force = {
        days: stored.version if (stored := store.champion("a", "churn_risk", DAY + dt.timedelta(days=days))) else None
        for days in (-1, 0, 9, 10, 19, 20, 400)
    }
    assert in_force == {-1: None, 0: 2, 9: 2, 10: 3, 19: 3, 20: 1, 400: 1}
    champions = [v.version for v in store.versions("a", "churn_risk", DAY + dt.timedelta(days=15)) if v.is_champion]
    assert champions == [3]


def test_one_that_does_not_take_over_is_kept_for_the_record(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    put(store)
    put(store, DAY + dt.timedelta(days=7), takes_over=False)
    night = DAY + dt.timedelta(days=8)
    champion, latest = store.champion("a", "churn_risk", night), store.latest("a", "churn_risk", night)
    assert champion is not None and latest is not None
    assert (champion.version, latest.version, latest.takes_over) == (1, 2, False)


def test_rollback_goes_one_version_back_each_time(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    for day in range(3):
        put(store, DAY + dt.timedelta(days=day))
    night = DAY + dt.timedelta(days=9)
    assert store.rollback("a", "churn_risk").version == 2
    assert store.rollback("a", "churn_risk").version == 1
    champion, latest = store.champion("a", "churn_risk", night), store.latest("a", "churn_risk", night)
    assert champion is not None and latest is not None
    assert champion.version == 1
    assert (latest.version, latest.is_withdrawn) == (3, True)
    with pytest.raises(ModelStoreError, match="none to go back to"):
        store.rollback("a", "churn_risk")
    with pytest.raises(ModelStoreError, match="models of a: churn_risk"):
        store.rollback("a", "churn_rsk")
    assert put(store, night) == 4
    champion = store.champion("a", "churn_risk", night)
    assert champion is not None and champion.version == 4


@pytest.mark.parametrize("file", ["model.json", "card.json", "evaluation.parquet", "SHA256SUMS"])
def test_a_file_changed_by_another_hand_is_refused(tmp_path: Path, file: str) -> None:
    store = ModelStore(tmp_path)
    put(store)
    path = tmp_path / "a" / "churn_risk" / "1" / file
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1) if file == "SHA256SUMS" else path.read_bytes() + b" ")
    with pytest.raises(ModelStoreError, match="restore|Restore"):
        store.champion("a", "churn_risk", DAY)
    path.unlink()
    with pytest.raises(ModelStoreError, match="missing"):
        store.champion("a", "churn_risk", DAY)


def test_nothing_that_lies_in_the_store_is_executed(tmp_path: Path) -> None:
    store, witness = ModelStore(tmp_path), tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {witness}",)

    put(store, content=pickle.dumps(Bomb()))
    stored = store.champion("a", "churn_risk", DAY)
    assert stored is not None and stored.files["model.json"].startswith(b"\x80")
    assert not witness.exists()


@pytest.mark.parametrize("name", ["../model.json", "card.json", "a/b", ".hidden", "SHA256SUMS"])
def test_a_model_cannot_write_elsewhere_or_over_its_own_card(tmp_path: Path, name: str) -> None:
    store = ModelStore(tmp_path / "models")
    with pytest.raises(ModelStoreError, match="cannot be the name"):
        store.put("a", "churn_risk", DAY, {name: b""}, {}, rows(0.8))
    with pytest.raises(LifecycleError, match="not the name"):
        store.put("../a", "churn_risk", DAY, {}, {}, rows(0.8))
    assert not list(tmp_path.rglob("*.json"))


WRITER = """
import datetime as dt, sys
from pathlib import Path
import polars as pl
from resources.model_store import ModelStore
store = ModelStore(Path(sys.argv[1]))
evaluation = pl.DataFrame({"candidate": ["logistic"]})
while True:
    parts = {f"part{i}.bin": bytes([i]) * 4_000_000 for i in range(5)}
    print(store.put("a", "churn_risk", dt.date(2024, 5, 1), parts, {}, evaluation), flush=True)
"""


def test_killed_in_the_middle_of_a_put_the_old_champion_stays(tmp_path: Path) -> None:
    store, work = ModelStore(tmp_path), tmp_path / ".work"
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        ) as writer:
            assert writer.stdout is not None
            done = int(writer.stdout.readline())
            left = set(work.iterdir())
            while not set(work.iterdir()) - left:
                time.sleep(0.0005)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            done = max([done, *(int(line) for line in writer.stdout.read().split())])
        champion = store.champion("a", "churn_risk", DAY)
        assert champion is not None
        # The last one that was reported, or one that was whole but not reported yet.
        assert champion.version in {done, done + 1}
        assert {file: len(data) for file, data in champion.files.items()} == {
            f"part{i}.bin": 4_000_000 for i in range(5)
        }
    assert list(work.iterdir()), "at least one was killed before it was whole"
    assert put(store) == champion.version + 1


def test_a_list_of_hashes_that_common_tools_read(tmp_path: Path) -> None:
    put(ModelStore(tmp_path))
    folder = tmp_path / "a" / "churn_risk" / "1"
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "card.json").read_text("utf-8"))["trained_as_of"] == "2024-05-01"
