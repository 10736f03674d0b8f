"""What a night says of itself: content to look at first, where it lies, and no more lines than are read."""

import datetime as dt
import re
from pathlib import Path

import pytest

from lifecycle_assets.definitions import Home
from lifecycle_assets.operations.input_rows import InputRows
from lifecycle_assets.operations.nights import NightResult, Summary, run_night

GOOD = NightResult(True, "r1", dt.date(2024, 5, 1), 12.3)
STAGE = {"table": "features.lifecycle_stage", "rows": 20}
RFM = {"table": "features.customer_rfm", "rows": 20}
REPORTS = [f"/home/reports/lupe/2024-05-01/lifecycle.{language}.html" for language in ("en", "es", "pt")]


def told(
    tables: list[dict[str, object]],
    batches: list[dict[str, object]] | None = None,
    warehouse: str = "/home/warehouse/lifecycle.duckdb",
    night: NightResult = GOOD,
) -> str:
    rows = InputRows(read=1000, set_aside=20, left_out=3)
    return Summary("lupe", night, tables, rows, batches or [], REPORTS, warehouse, Path("/home")).as_text()


@pytest.mark.parametrize(
    ("tables", "query"),
    [
        ([RFM, STAGE], "count(*) AS customers FROM features.lifecycle_stage WHERE shop_id = 'lupe' GROUP BY stage"),
        ([RFM], "SELECT * FROM features.customer_rfm WHERE shop_id = 'lupe' LIMIT 5"),
        ([STAGE | {"rows": 0}], ""),
    ],
)
def test_the_first_query_is_of_a_table_with_rows(tables: list[dict[str, object]], query: str) -> None:
    text = told(tables)
    assert query in text and ("SQL" in text) is bool(query)


def test_the_database_is_named_where_there_is_one() -> None:
    assert "any DuckDB client, read-only, on /home/warehouse/lifecycle.duckdb" in told([STAGE])
    in_database = told([STAGE], warehouse="postgresql://db.example/shop")
    assert "any PostgreSQL client, on postgresql://db.example/shop" in in_database and "DuckDB" not in in_database


def test_rows_reports_and_batches_take_a_line_each_and_stand_in_line() -> None:
    batches: list[dict[str, object]] = [
        {"channel": "email", "programme": name, "messages": 7, "path": f"/b/{name}"}
        for name in ("vip", "second_purchase")
    ]
    lines = told([STAGE], batches).splitlines()
    assert "  inputs: 1,000 rows read, 20 set aside (2.0%), 3 left out on purpose" in lines
    assert [line for line in lines if "report" in line] == [
        "  reports  3, and /home/reports/lupe/index.html leads to them"
    ]
    assert len({line.index("messages") for line in lines if re.match("  batch ", line)}) == 1


@pytest.mark.parametrize(("failed", "is_input"), [("raw.order_lines", True), ("models.churn_risk", False)])
def test_a_failed_input_leads_to_the_check(failed: str, is_input: bool) -> None:
    night = NightResult(False, "r1", dt.date(2024, 5, 1), 1.0, failures=[f"{failed}: broken"])
    text = told([STAGE], night=night)
    assert f"problem: {failed}: broken" in text
    assert ("check --shop lupe" in text) is is_input


def test_a_cause_that_stops_every_input_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIFECYCLE_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    (tmp_path / "shops").mkdir()
    (tmp_path / "shops" / "lupe.yaml").write_text(
        "{name: Lupe, timezone: UTC, currency: EUR, country: ES, input: none}"
    )
    (said,) = run_night(Home(tmp_path), "lupe").failures
    assert re.match(r"raw\.\w+, raw\.\w+, raw\.\w+ and \d+ more: input none: there is no such file", said)
