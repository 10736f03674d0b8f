"""`lifecycle doctor` on homes that are well and homes that are not: each thing that is wrong is named with what to do."""

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from lifecycle_assets.automation import NIGHTLY
from lifecycle_assets.definitions import Home
from lifecycle_assets.operations.doctor import Diagnosis, diagnose
from lifecycle_assets.operations.homes import open_instance
from lifecycle_assets.operations.nights import run_night, summary
from lifecycle_assets.wiring import SHOP_TAG

SHOP = "name: {0}\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: {1}\n"
ORDERS = "order_id,customer_id,ordered_at,product_id,quantity,unit_price\n1,c1,2024-01-02 10:00,p,1,5\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("LIFECYCLE_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    (tmp_path / "shops").mkdir()
    return Home(tmp_path)


def looked(home: Home) -> dict[str, tuple[str, str, str]]:
    found: Diagnosis = diagnose(home, dt.datetime.now(dt.UTC))
    assert found.as_dict()["ok"] == found.ok == all(f.level != "error" for f in found.findings)
    text = found.as_text()
    assert all(finding.subject in text and finding.text in text for finding in found.findings)
    return {finding.subject: (finding.level, finding.text, finding.do) for finding in found.findings}


def test_an_empty_home_is_told_how_to_begin(home: Home) -> None:
    found = looked(home)
    assert found["shops"][0] == "warning" and "init --shop" in found["shops"][2]
    assert found["daemon"][0] == "warning" and "lifecycle dev" in found["daemon"][2]
    assert not any(level == "error" for level, _, _ in found.values())


def test_what_is_broken_is_named_and_the_rest_is_looked_at(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    (home.root / "lifecycle.yaml").write_text(
        "warehouse: postgresql://me:s3cr3t@127.0.0.1:1/shop\nalerts: {webhook: '${NOT_THERE}'}\n"
    )
    (home.root / "shops" / "broken.yaml").write_text("name: [\n")
    (home.root / "shops" / "gone.yaml").write_text(SHOP.format("Gone", "nowhere.csv"))
    found = looked(home)
    assert found["warehouse"][0] == "error" and "s3cr3t" not in found["warehouse"][1]
    assert found["alerts"] == ("error", "the environment lacks NOT_THERE", "set it where Dagster's daemon starts")
    assert found["shop broken"][0] == "error"
    assert found["gone input"][0] == "error" and "nowhere.csv" in found["gone input"][1]
    assert found["gone night"][0] == "warning" and "run --shop gone" in found["gone night"][2]


def test_a_configuration_that_cannot_be_read_stops_at_its_name(home: Home) -> None:
    (home.root / "lifecycle.yaml").write_text("memory_limt: 6GB\n")
    found = looked(home)
    assert found["lifecycle.yaml"][0] == "error" and "memory_limit" in found["lifecycle.yaml"][1]


def test_nights_that_end_well_and_nights_that_fail(home: Home) -> None:
    (home.root / "orders.csv").write_text(ORDERS)
    (home.root / "shops" / "mine.yaml").write_text(SHOP.format("Mine", "orders.csv") + "as_of: 2024-02-01\n")
    assert run_night(home, "mine", select="+raw/input_reads").success
    assert looked(home)["mine night"][1] == "none has ended well yet", "a few assets are no night"
    with open_instance(home) as instance:
        run = dg.DagsterRun(job_name=NIGHTLY, status=dg.DagsterRunStatus.STARTED, tags={SHOP_TAG: "mine"})
        instance.add_run(run)
        ended = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, NIGHTLY)
        instance.report_dagster_event(ended, run.run_id)
    well = looked(home)
    assert well["mine night"][0] == "ok" and "0 hours ago" in well["mine night"][1]
    assert well["mine rows"][:2] == ("ok", "1 rows read, 0 set aside (0.0%)")
    assert "mine failures" not in well
    (home.root / "orders.csv").unlink()
    assert not run_night(home, "mine", select="raw/order_lines").success
    assert "mine failures" not in looked(home)
    night = run_night(home, "mine")
    assert not night.success
    told = summary(home, "mine", night).as_text()
    assert told.count("problem: ") == 1 and "orders.csv" in told and "check --shop mine" in told
    level, text, do = looked(home)["mine failures"]
    assert level == "error" and ": raw." in text and "orders.csv" in text and "run --shop mine" in do
