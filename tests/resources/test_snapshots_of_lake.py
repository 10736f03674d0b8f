"""Snapshots of the output tables: instant, whole, and the way back to them while readers read."""

import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from test_lake import NIGHT, costs, stages

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch.batches import Batches
from lifecycle_assets.dispatch.ledger import Ledger, lines_of
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs.contracts import Costs
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.render import Page
from lifecycle_assets.reports.report import Report
from resources.keeping import Keeping
from resources.report_store import ReportStore
from resources.warehouse.lake import Lake

AT = dt.datetime(2024, 5, 2, 2, tzinfo=dt.UTC)
NEXT = NIGHT + dt.timedelta(days=1)
WORDS = "skip contents data_table made_from tiles notice numbers sheets others gallery"


def keeping_at(path: Path) -> Keeping:
    return Keeping(Lake(path / "warehouse", [Costs, LifecycleStage, Batches, Ledger]), ReportStore(path / "reports"))


def batches(as_of: dt.date, ids: list[str]) -> pl.DataFrame:
    moment = dt.datetime(2024, 5, 2, tzinfo=dt.UTC)
    rows = [
        {"shop_id": "a", "as_of": as_of, "batch_id": i, "channel": "email", "programme": "p", "messages": 1,
         "first_send_at": moment, "last_send_at": moment, "expires_at": moment, "expected_value": 1.0,
         "policy_version": "1", "previous_batch_id": None, "assumptions": ""}
        for i in ids
    ]  # fmt: skip
    return pl.DataFrame(rows).select(pl.col(n).cast(t) for n, t in Batches.polars_schema.items())


def live(keeping: Keeping, as_of: dt.date, size: int) -> None:
    """A night that leaves `size` rows in every table."""
    lake = keeping.lake
    lake.write(Costs, "a", as_of, costs(size, as_of=as_of))
    lake.write(LifecycleStage, "a", as_of, stages(size).with_columns(as_of=pl.lit(as_of)))
    lake.write(Batches, "a", as_of, batches(as_of, [f"{as_of}-{i}" for i in range(size)]))
    line = {"shop_id": "a", "as_of": as_of, "idempotency_key": f"k{as_of}", "batch_id": "b", "customer_id": "c",
            "channel": "email", "programme": "p", "step": 1, "offer_id": None}  # fmt: skip
    lake.append(Ledger, "a", as_of, lines_of(pl.DataFrame([line]), "exported", at=AT, run="r"))
    said = [Sentence(text) for text in ("Night", "Dated", f"{size} rows")]
    page = Page("en", "A", "Night", *said, [], [], [], [], dict.fromkeys(WORDS.split(), "word"))
    keeping.reports.put(Report("night", "a", as_of, "EUR", page, Facts([])))


def rows(keeping: Keeping, contract: Contract) -> int:
    return int(keeping.lake.scan(contract, "a").select(pl.len()).collect().item())


def seen(keeping: Keeping, view: str) -> int:
    return int(keeping.lake.catalogue.query(f"SELECT count(*) AS n FROM {view}").item())


def files_of(home: Path) -> dict[str, str]:
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and not {".locks", ".lock"} & set(path.parts) and path.suffix != ".duckdb"
    }


def test_a_restore_brings_tables_and_reports_back_but_not_what_was_sent(tmp_path: Path) -> None:
    keeping = keeping_at(tmp_path)
    live(keeping, NIGHT, 3)
    keeping.take_nightly("a", NIGHT, at=AT, keep=7)
    live(keeping, NEXT, 5)
    keeping.restore("a", str(NIGHT))
    assert rows(keeping, LifecycleStage) == seen(keeping, "features.lifecycle_stage") == 3
    assert keeping.lake.nights(LifecycleStage, "a") == [NIGHT]
    assert seen(keeping, "features.lifecycle_stage_history") == 3
    assert rows(keeping, Batches) == seen(keeping, "dispatch.batches") == 3
    left = [path.name for path in sorted((tmp_path / "reports" / "a").glob("*/*"))]
    assert left == ["index.json", *(f"night.en.{suffix}" for suffix in ("html", "json", "pdf", "xlsx"))]
    for gallery in (tmp_path / "reports" / "index.html", tmp_path / "reports" / "a" / "index.html"):
        assert "3 rows" in gallery.read_text("utf-8") and "5 rows" not in gallery.read_text("utf-8")
    # The ledger, the texts of what was sent, and the raw tables stay.
    assert rows(keeping, Ledger) == 2
    assert keeping.lake.nights(Batches, "a") == [NIGHT, NEXT]
    assert rows(keeping, Costs) == 5
    assert keeping.unfinished("a") is None


def test_a_night_run_again_after_a_restore_leaves_the_same_bytes(tmp_path: Path) -> None:
    keeping = keeping_at(tmp_path)
    live(keeping, NIGHT, 3)
    keeping.take_nightly("a", NIGHT, at=AT, keep=7)
    live(keeping, NEXT, 5)
    before = {name: digest for name, digest in files_of(tmp_path).items() if "ledger" not in name}
    keeping.restore("a", str(NIGHT))
    live(keeping, NEXT, 5)
    assert {name: digest for name, digest in files_of(tmp_path).items() if "ledger" not in name} == before


def test_snapshots_are_links_and_outlive_the_versions(tmp_path: Path) -> None:
    keeping = keeping_at(tmp_path)
    live(keeping, NIGHT, 3)
    keeping.take("a", "mine", at=AT)
    kept = tmp_path / "warehouse" / ".snapshots" / "a" / "mine" / "features" / "lifecycle_stage" / "data.parquet"
    assert kept.samefile(keeping.lake.path(LifecycleStage, "a"))
    live(keeping, NEXT, 5)
    for version in (tmp_path / "warehouse" / ".versions").rglob("*.parquet"):
        if version.stat().st_nlink == 2 and "lifecycle_stage" in version.parts and version.samefile(kept):
            version.unlink()
    keeping.restore("a", "mine")
    assert seen(keeping, "features.lifecycle_stage") == 3


def test_each_night_keeps_its_snapshot_once_and_old_ones_go(tmp_path: Path) -> None:
    keeping = keeping_at(tmp_path)
    live(keeping, NIGHT, 3)
    keeping.take("a", "mine", at=AT - dt.timedelta(hours=1))
    keeping.take_nightly("a", NIGHT, at=AT, keep=2)
    before = files_of(tmp_path)
    keeping.take_nightly("a", NIGHT, at=AT + dt.timedelta(hours=1), keep=2)
    assert files_of(tmp_path) == before
    # The same night with another result does not take the former away.
    live(keeping, NIGHT, 4)
    keeping.take_nightly("a", NIGHT, at=AT + dt.timedelta(hours=2), keep=2)
    assert [kept.name for kept in keeping.list("a")] == [f"{NIGHT}-2", str(NIGHT), "mine"]
    keeping.restore("a", str(NIGHT))
    assert rows(keeping, LifecycleStage) == 3
    live(keeping, NEXT, 5)
    keeping.take_nightly("a", NEXT, at=AT + dt.timedelta(days=1), keep=2)
    assert [kept.name for kept in keeping.list("a")] == [str(NEXT), f"{NIGHT}-2", "mine"]


def test_a_snapshot_whose_removal_dies_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeping = keeping_at(tmp_path)
    live(keeping, NIGHT, 3)
    keeping.take_nightly("a", NIGHT, at=AT, keep=1)
    live(keeping, NEXT, 5)

    def dies(folder: Path) -> None:
        for file in folder.rglob("*.parquet"):
            file.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("resources.keeping.shutil.rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            keeping.take_nightly("a", NEXT, at=AT + dt.timedelta(days=1), keep=1)
    assert [kept.name for kept in keeping.list("a")] == [str(NEXT)]
    with pytest.raises(LifecycleError, match="no snapshot"):
        keeping.restore("a", str(NIGHT))
    keeping.take("a", "mine", at=AT)
    assert {path.name for path in (tmp_path / "warehouse" / ".snapshots" / "a").iterdir()} == {str(NEXT), "mine"}


def test_names_that_are_none_are_told(tmp_path: Path) -> None:
    keeping = keeping_at(tmp_path)
    live(keeping, NIGHT, 3)
    with pytest.raises(LifecycleError, match="none was taken yet"):
        keeping.restore("a", "mine")
    keeping.take("a", "mine", at=AT)
    with pytest.raises(LifecycleError, match="did you mean mine"):
        keeping.restore("a", "mime")
    with pytest.raises(LifecycleError, match="already"):
        keeping.take("a", "mine", at=AT)
    for name in ("../a", ".hidden", "", "a/b"):
        with pytest.raises(LifecycleError, match="not a snapshot's name"):
            keeping.take("a", name, at=AT)
        with pytest.raises(LifecycleError, match="no snapshot"):
            keeping.restore("a", name)


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import resources.warehouse.lake as lake
from test_snapshots_of_lake import keeping_at
link, steps = lake.link_over, iter(range(100))
def link_or_die(source, target):
    if next(steps) == {point}:
        os.kill(os.getpid(), signal.SIGKILL)
    link(source, target)
lake.link_over = link_or_die
keeping_at(Path({home!r})).restore("a", "mine")
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", range(3))
def test_kill_9_in_a_restore_leaves_whole_tables_and_the_next_one_ends_it(tmp_path: Path, point: int) -> None:
    keeping = keeping_at(tmp_path)
    live(keeping, NIGHT, 3)
    keeping.take("a", "mine", at=AT)
    live(keeping, NIGHT, 4)
    code = CHILD.format(tests=str(Path(__file__).parent), home=str(tmp_path), point=point)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    for contract in (LifecycleStage, Batches):
        assert rows(keeping, contract) in (3, 4)
        assert seen(keeping, contract.name) in (3, 4)
    assert keeping.unfinished("a") == "mine"
    keeping.restore("a", "mine")
    assert keeping.unfinished("a") is None
    assert (rows(keeping, LifecycleStage), rows(keeping, Batches), rows(keeping, Ledger)) == (3, 3, 2)


def test_readers_read_on_while_a_restore_runs(tmp_path: Path) -> None:
    keeping = keeping_at(tmp_path)
    live(keeping, NIGHT, 3)
    keeping.take("a", "mine", at=AT)
    live(keeping, NIGHT, 4)
    with keeping.lake.catalogue.connect() as reader:
        keeping.restore("a", "mine")
        assert reader.execute("SELECT count(*) FROM features.lifecycle_stage").fetchone() == (4,)
    assert seen(keeping, "features.lifecycle_stage") == 3
