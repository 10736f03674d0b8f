"""The commands as people use them, on a small shop's own files, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[2]


def lifecycle(home: Path, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "lifecycle_assets.cli", *arguments, "--home", str(home)],
        capture_output=True, text=True, check=False, cwd=home.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LIFECYCLE_HOME": ""},
    )  # fmt: skip
    if code is not None:
        assert done.returncode == code, done.stdout + done.stderr
    return done


def write_shop(folder: Path, orders: int = 600, customers: int = 150) -> None:
    """A small shop with its own column names, semicolons and decimal commas, one bad line, and consents."""
    rng = np.random.default_rng(3)
    folder.mkdir()
    lines = ["Pedido;Cliente;Fecha;Artículo;Cantidad;Precio"]
    for i in range(orders):
        day = f"{rng.integers(1, 28):02d}.{rng.integers(1, 13):02d}.2024 {rng.integers(8, 22):02d}:15"
        lines.append(
            f"B{i:04d};K{rng.integers(customers):03d};{day};A-{rng.integers(40)};{rng.integers(1, 5)};{rng.integers(5, 90)},90"
        )
    lines.append("B9999;K001;31.12.2024 10:00;A-1;1;-5,00")
    (folder / "order_lines.csv").write_text("\n".join(lines) + "\n", "utf-8")
    consents = ["customer_id,email,first_name,consent_email"]
    consents += [f"K{i:03d},k{i}@example.org,Name{i},{'true' if i % 2 else ''}" for i in range(customers)]
    (folder / "customers.csv").write_text("\n".join(consents) + "\n", "utf-8")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("newcomer")
    write_shop(base / "data")
    home = base / "home"
    init = lifecycle(
        home, "init", "--shop", "kiosk", "--input", str(base / "data"),
        "--timezone", "Europe/Madrid", "--currency", "EUR", "--country", "ES",
    )  # fmt: skip
    assert init.stdout.splitlines()[1] == "name: Kiosk"
    assert "Pedido: order_id" in init.stdout.replace('"', "").replace("'", "")
    with (home / "shops/kiosk.yaml").open("a", encoding="utf-8") as file:
        file.write("reports: {languages: [en]}\n")
    done = lifecycle(home, "run", "--shop", "kiosk", "--as-of", "2024-12-31", "--json")
    (base / "summary.json").write_text(done.stdout)
    (base / "progress.txt").write_text(done.stderr)
    return home


def test_a_newcomers_first_night(shop: Path) -> None:
    found = lifecycle(shop, "check", "--shop", "kiosk")
    assert "unit_price" in found.stdout
    summary = json.loads((shop.parent / "summary.json").read_text())
    rows = {row["table"]: row["rows"] for row in summary["tables"]}
    assert rows["raw.order_lines"] == 600
    assert rows["raw.quarantine"] == 1
    assert summary["inputs"] == {"read": 751, "set_aside": 1, "left_out": 0}
    assert rows["features.customer_rfm"] == rows["dispatch.decisions"] > 100
    assert "features.customer_rfm" in (shop.parent / "progress.txt").read_text()  # one line per asset
    assert summary["reports"]
    assert Path(summary["reports"][0]).read_text("utf-8").startswith("<!")


def test_a_query_prints_what_the_view_holds_in_every_format(shop: Path) -> None:
    sql = "SELECT rfm_tier, count(*) AS n FROM features.customer_rfm GROUP BY 1 ORDER BY 1"
    with duckdb.connect(str(shop / "warehouse/lifecycle.duckdb"), read_only=True) as connection:
        expected = connection.sql(sql).fetchall()
    as_json = json.loads(lifecycle(shop, "query", sql, "--format", "json").stdout)
    assert [(row["rfm_tier"], row["n"]) for row in as_json] == expected
    as_csv = lifecycle(shop, "query", sql, "--format", "csv").stdout.splitlines()
    assert as_csv[0] == "rfm_tier,n"
    assert len(as_csv) == len(expected) + 1
    assert expected[0][0] in lifecycle(shop, "query", sql).stdout
    assert "| 1234567890 | 0.000002 |" in lifecycle(shop, "query", "SELECT 1234567890e0 AS a, 2e-6 AS b").stdout
    wrong = lifecycle(shop, "query", "DROP VIEW features.customer_rfm", code=1)
    assert "read-only" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_selection_runs_only_what_it_names(shop: Path) -> None:
    done = lifecycle(
        shop, "run", "--shop", "kiosk", "--as-of", "2024-12-31", "--select", "features.customer_rfm",
        "--set", "customer.rfm.bins=3",
    )  # fmt: skip
    ran = [line.split()[1] for line in done.stderr.splitlines() if " rows" in line]
    assert ran == ["features.customer_rfm"]
    scores = lifecycle(
        shop, "query", "SELECT max(frequency_score) AS best FROM features.customer_rfm", "--format", "json"
    )
    assert json.loads(scores.stdout) == [{"best": 3}]
    unknown = lifecycle(shop, "run", "--shop", "kiosk", "--select", "features/nowhere", code=1)
    assert "features/nowhere" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "--shop", "nobody"], 1, "lifecycle init --shop nobody"),
        (["run", "--shop", "kiosk", "--as-of", "yesterday"], 2, "yesterday"),
        (["run", "--shop", "kiosk", "--set", "customer.rfm.bin=4"], 1, "did you mean bins?"),
        (["init", "--shop", "kiosk", "--input", "data"], 1, "--force"),
        (["init", "--shop", "other", "--input", "nowhere-at-all"], 1, "nowhere-at-all"),
    ],
)
def test_mistakes_are_told_without_a_traceback(shop: Path, arguments: list[str], code: int, told: str) -> None:
    done = lifecycle(shop, *arguments, code=code)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_input_fails_the_run_and_leaves_the_tables(shop: Path) -> None:
    before = lifecycle(
        shop, "query", "SELECT * FROM features.customer_rfm ORDER BY customer_id", "--format", "csv"
    ).stdout
    orders = shop.parent / "data" / "order_lines.csv"
    good = orders.read_text("utf-8")
    try:
        orders.write_text(good.replace(";A-", ";A-").replace(",90", ",90x"), "utf-8")
        done = lifecycle(shop, "run", "--shop", "kiosk", "--as-of", "2024-12-31", code=1)
        assert "order_lines.csv" in done.stdout + done.stderr
        assert "unit_price" in done.stdout + done.stderr
    finally:
        orders.write_text(good, "utf-8")
    after = lifecycle(
        shop, "query", "SELECT * FROM features.customer_rfm ORDER BY customer_id", "--format", "csv"
    ).stdout
    assert before == after


def test_the_benchmarks_are_a_command(shop: Path) -> None:
    assert "--sections" in lifecycle(shop, "bench", "--help").stdout
    assert "horses: not among" in lifecycle(shop, "bench", "--sections", "horses", code=2).stderr


def test_reports_are_listed(shop: Path) -> None:
    listed = json.loads(lifecycle(shop, "reports", "--json").stdout)
    assert listed["rows"][0]["shop"] == "kiosk"
    assert Path(listed["rows"][0]["path"]).exists()


def test_rows_read_are_kept_or_quarantined(shop: Path) -> None:
    text = lifecycle(shop, "query", "SELECT * FROM raw.input_reads", "--format", "json").stdout
    reads = pl.DataFrame(json.loads(text))
    assert (reads["rows_read"] == reads["rows_kept"] + reads["rows_quarantined"]).all()
    orders = reads.filter(pl.col("table") == "order_lines").row(0, named=True)
    assert (orders["rows_read"], orders["rows_kept"], orders["rows_quarantined"]) == (601, 600, 1)


def test_models_are_listed_and_the_only_version_stays(shop: Path) -> None:
    listed = json.loads(lifecycle(shop, "models", "--shop", "kiosk", "--json").stdout)
    in_force = [row for row in listed["rows"] if row["state"] == "in force"]
    assert len({row["model"] for row in in_force}) == len(in_force)
    assert all(row["candidate"] is None for row in listed["rows"] if row["state"] == "not learnt")
    assert "None" not in lifecycle(shop, "models", "--shop", "kiosk").stdout
    told = lifecycle(shop, "models", "rollback", "--shop", "kiosk", "churn_risk", code=1)
    assert "none to go back to" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_decision_is_explained_and_unknown_names_are_met_with_near_ones(shop: Path) -> None:
    sql = "SELECT customer_id, reason FROM dispatch.decisions ORDER BY customer_id LIMIT 1"
    decided = json.loads(lifecycle(shop, "query", sql, "--format", "json").stdout)[0]
    asked = ("explain", decided["customer_id"], "--shop", "kiosk", "--offer", "winback_10")
    told = json.loads(lifecycle(shop, *asked, "--json").stdout)
    assert told["told"]["reason"] == decided["reason"]
    assert {arm["arm"].split("/")[-1] for arm in told["offer"]} <= {"winback_10"}
    assert told["told"]["sentence"] in lifecycle(shop, *asked).stdout
    nobody = lifecycle(shop, "explain", "K00x", "--shop", "kiosk", code=1)
    assert "'K00x'; near: K0" in nobody.stderr
    assert "near" not in lifecycle(shop, "explain", "somebody", "--shop", "kiosk", code=1).stderr
    nothing = lifecycle(shop, *asked[:-1], "winback_1O", code=1)
    assert "did you mean winback_1" in nothing.stderr
