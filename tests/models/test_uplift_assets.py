"""The uplift tables in a night of a shop, from its files on."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
CUSTOMERS, OTHERS = 1500, 100


def shop(home: Path) -> None:
    """Regulars (orders every month) are moved by the campaign of the first of June, who bought once is put off."""
    given = home / "in"
    given.mkdir()
    (home / "shops").mkdir()
    (home / "shops" / "books.yaml").write_text(
        f"name: Books\ntimezone: UTC\ncurrency: EUR\ncountry: ES\ninput: {given}\nas_of: 2024-06-02\n"
    )
    number = np.arange(CUSTOMERS + OTHERS)
    months = pl.DataFrame({"customer": number, "months": 1 + 4 * (number % 2)}).with_columns(
        month=pl.int_ranges(1, pl.col("months") + 1)
    )
    lines = months.explode("month").with_row_index("order_id")
    lines.select(
        "order_id",
        customer_id=pl.format("c{}", "customer"),
        ordered_at=pl.format("2024-0{}-15", "month"),
        product_id=pl.lit("p"),
        quantity=1,
        unit_price=10,
    ).write_csv(given / "order_lines.csv")
    rng = np.random.default_rng(1)
    treated = rng.integers(0, 2, CUSTOMERS)
    rate = np.where(number[:CUSTOMERS] % 2 == 1, 0.1 + 0.3 * treated, 0.75 - 0.25 * treated)
    pl.DataFrame(
        {
            "campaign_id": "summer",
            "customer_id": [f"c{i}" for i in range(CUSTOMERS)],
            "treatment": treated,
            "assigned_at": "2024-06-01 09:00:00",
            "outcome": (rng.random(CUSTOMERS) < rate).astype(int),
        }
    ).write_csv(given / "campaign_assignments.csv")


@pytest.mark.slow
def test_a_campaign_is_evaluated_and_everybody_scored(tmp_path: Path) -> None:
    shop(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "lifecycle_assets.cli", "run", "--shop", "books", "--select", '+key:"models/uplift_*"',
         "--home", str(tmp_path)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(tmp_path / "warehouse" / "lifecycle.duckdb"), read_only=True) as warehouse:
        (used,) = warehouse.sql("SELECT note FROM models.uplift_evaluation WHERE chosen AND is_used").fetchall()
        segments = warehouse.sql(
            "SELECT scored_as, CAST(substr(customer_id, 2) AS INT) % 2 = 1 AS regular, uplift_segment, count(*) "
            "FROM models.uplift_scores GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert used == ("Ranks better than chance and than a plain response model.",)
    half = CUSTOMERS // 2
    assert segments == [
        ("out_of_fold", False, "sleeping_dog", half),
        ("out_of_fold", True, "persuadable", half),
        ("tonight", False, "sleeping_dog", OTHERS // 2),
        ("tonight", True, "persuadable", OTHERS // 2),
    ]
