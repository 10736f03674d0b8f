"""What holds over a whole input: readings, keys, amounts, order, and the same bytes each time."""

import datetime as dt
import json
import random
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import HEADER, LINE, TABLES, lines, night, read, read_csv

from lifecycle_assets.errors import ContractError
from lifecycle_assets.inputs import ingest
from resources import delimited, sources


@pytest.fixture
def short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "PIECE", 200)
    monkeypatch.setattr(sources, "CELLS", 1)
    monkeypatch.setattr(sources, "BATCH_ROWS", 3)


def exact(quantity: float, price: float, discount: float) -> Decimal:
    """The amount in Python's decimals, from the numbers as they are written."""
    amount = Decimal(repr(quantity)) * Decimal(repr(price)) - Decimal(repr(discount))
    return amount.quantize(Decimal("0.0001"), ROUND_HALF_UP)


number = st.decimals(0, 10_000, places=4).map(float)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.decimals(-1000, 1000, places=3).map(float), number, number), min_size=1, max_size=30))
def test_amounts_are_exact_and_round_half_away_from_zero(rows: list[tuple[float, float, float]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        frame = pl.DataFrame(
            {
                "order_id": ["A"] * len(rows),
                "ordered_at": [dt.datetime(2026, 1, 2)] * len(rows),  # noqa: DTZ001
                "quantity": [row[0] for row in rows],
                "unit_price": [row[1] for row in rows],
                "discount_amount": [row[2] for row in rows],
            }
        )
        (Path(folder) / "input").mkdir()
        frame.write_parquet(Path(folder) / "input" / "orders.parquet")
        result = read(night(Path(folder) / "input"), Path(folder))
    assert result.table["amount"].to_list() == [exact(*row) for row in rows]


def test_halves_round_away_from_zero(tmp_path: Path) -> None:
    result = read_csv(
        tmp_path, lines("A,C,2026-01-02,P,0.5,0.0001", "A,C,2026-01-02,P,-0.5,0.0001", "A,C,2026-01-02,P,0.5,0.0003")
    )
    assert result.table["amount"].to_list() == [Decimal("0.0001"), Decimal("-0.0001"), Decimal("0.0002")]


def test_the_order_date_is_local(tmp_path: Path) -> None:
    result = read_csv(tmp_path, lines("A,C,2026-01-02T23:30:00Z,P,1,1", "A,C,2026-01-02 23:30:00,P,1,1"))
    assert result.table["order_date"].to_list() == [dt.date(2026, 1, 3), dt.date(2026, 1, 2)]


def test_defaults_fill_what_is_empty(tmp_path: Path) -> None:
    result = read_csv(tmp_path, "order_id,ordered_at,unit_price,quantity\nA,2026-01-02,2.50,\n")
    row = result.table.row(0, named=True)
    assert (row["quantity"], row["discount_amount"], row["status"], row["customer_id"]) == (1.0, 0.0, "completed", None)


@pytest.mark.usefixtures("short_batches")
def test_a_late_value_decides_how_the_early_ones_were_meant(tmp_path: Path) -> None:
    rows = ["A;C;3/4/2026;P;1.000;1.500"] * 30 + ["A;C;13/4/2026;P;1;2,25"]
    result = read_csv(tmp_path, lines(*rows, header=HEADER.replace(",", ";")), country="US")
    assert result.table["order_date"].to_list() == [dt.date(2026, 4, 3)] * 30 + [dt.date(2026, 4, 13)]
    assert result.table["amount"].to_list() == [Decimal(1_500_000)] * 30 + [Decimal("2.25")]


@pytest.mark.usefixtures("short_batches")
def test_a_late_id_keeps_the_early_ones_as_they_are(tmp_path: Path) -> None:
    rows = ["1,7.0,2026-01-02,P,1,1"] * 30 + ["1,A7,2026-01-02,P,1,1"]
    assert read_csv(tmp_path, lines(*rows)).table["customer_id"].to_list() == ["7.0"] * 30 + ["A7"]


@pytest.mark.usefixtures("short_batches")
def test_keys_are_unique_over_the_whole_input(tmp_path: Path) -> None:
    names = [f"P{i % 40}" for i in range(100)]
    result = read_csv(
        tmp_path,
        "product_id,name\n" + "".join(f"{n},n{i}\n" for i, n in enumerate(names)),
        name="products.csv",
        table="products",
    )
    assert result.table["product_id"].to_list() == sorted({f"P{i}" for i in range(40)})
    assert set(result.table["name"]) == {f"n{i}" for i in range(40)}  # the first of each
    assert result.rules() == [(i + 1, "product_id", "repeated") for i in range(40, 100)]
    assert json.loads(result.aside["row"][0]) == {"product_id": "P0", "name": "n40"}


@pytest.mark.usefixtures("short_batches")
def test_line_ids_must_be_unique_and_equal_lines_without_them_are_kept(tmp_path: Path) -> None:
    rows = [f"{LINE},L{i % 25}" for i in range(30)] + [f"{LINE},"] * 2
    result = read_csv(tmp_path, lines(*rows, header=HEADER + ",line_id"))
    assert [row for row, *_ in result.rules()] == list(range(26, 31))
    (tmp_path / "twice").mkdir()
    assert read_csv(tmp_path / "twice", lines(*[LINE] * 30)).table.height == 30


@pytest.mark.usefixtures("short_batches")
def test_a_consent_event_is_known_by_customer_channel_and_time(tmp_path: Path) -> None:
    content = (
        "customer_id,channel,granted,occurred_at\n"
        + "C,EMAIL,yes,2026-01-01\n" * 3
        + "C,email,no,2026-01-02\nC,sms,no,2026-01-01\n"
    )
    result = read_csv(tmp_path, content, name="consents.csv", table="consents")
    events = result.table.sort("channel", "occurred_at").select("channel", "granted").rows()
    assert events == [("email", True), ("email", False), ("sms", False)]
    assert [row for row, *_ in result.rules()] == [2, 3]


def test_a_withdrawal_at_the_moment_of_a_grant_is_kept_beside_it(tmp_path: Path) -> None:
    content = "customer_id,channel,granted,occurred_at\nC,email,true,2026-01-01\nC,email,false,2026-01-01\n"
    result = read_csv(tmp_path, content, name="consents.csv", table="consents")
    assert sorted(result.table["granted"]) == [False, True]
    assert not result.rules()


def test_further_columns_of_customers_become_attributes(tmp_path: Path) -> None:
    content = 'customer_id,Email,Shoe size,Note\nC1,a@b.c,42,"a ""b"""\nC2,,,\n'
    result = read_csv(tmp_path, content, name="customers.csv", table="customers")
    assert [json.loads(text) for text in result.table["attributes"]] == [
        {"Shoe size": "42", "Note": 'a "b"'},
        {"Shoe size": None, "Note": None},
    ]


def test_a_mapping_renames_translates_and_adds(tmp_path: Path) -> None:
    mapping = {
        "tables": {
            "order_lines": {
                "file": "ventas.csv",
                "columns": {"Pedido": "order_id", "Fecha": "ordered_at", "Precio": "unit_price", "Estado": "status"},
                "values": {"status": {"Anulado": "cancelled", "pagado": "completed"}},
                "constants": {"sales_channel": "store", "quantity": 2},
                "timezone": "UTC",
            }
        }
    }
    words = ["ANULADO", " Pagado ", "", "unknown"]
    content = "Pedido,Fecha,Precio,Estado\n" + "".join(f"A,2026-01-02,1,{word}\n" for word in words)
    result = read_csv(tmp_path, content, name="ventas.csv", mapping=mapping)
    assert result.table["status"].to_list() == ["cancelled", "completed", "completed"]
    assert result.rules() == [(4, "status", "check")]
    first = result.table.row(0, named=True)
    assert (first["sales_channel"], first["amount"], first["ordered_at"]) == (
        "store",
        Decimal(2),
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"columns": {"Invioce": "order_id"}}, "no column 'Invioce'.*Nearest: Invoice"),
        ({"columns": {"Invoice": "orderid"}}, "'orderid', which is no column of the table. Nearest: order_id"),
        ({"columns": {"Bestellnummer": "order_id"}}, r"'Bestellnummer', [^:]*order_id\. The columns are: Invoice, "),
        ({"file": "missing.csv"}, "there is no 'missing.csv'.*There are: orders"),
        (
            {"columns": {"Invoice": "order_id"}, "leave_out": [{"column": "kind", "values": ["x"], "reason": "r"}]},
            "leave_out names the column 'kind'",
        ),
    ],
)
def test_a_wrong_mapping_is_an_error_that_names_the_nearest(
    tmp_path: Path, table: dict[str, object], said: str
) -> None:
    with pytest.raises(ContractError, match=said):
        read_csv(
            tmp_path, "Invoice,ordered_at,unit_price\nA,2026-01-02,1\n", mapping={"tables": {"order_lines": table}}
        )


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    chance = random.Random(4)  # noqa: S311
    rows = [
        f"O{chance.randrange(999)},C{chance.randrange(99)},2026-01-02,P,{chance.choice(['1', '2', 'x'])},3.5"
        for _ in range(5000)
    ]
    at = tmp_path / "input"
    at.mkdir()
    (at / "orders.csv").write_text(lines(*rows))
    once, again = tmp_path / "once", tmp_path / "again"
    found = []
    for folder in (once, again):
        folder.mkdir()
        done = ingest.ingest(TABLES["order_lines"], sources.Sources(at).at(str(at)), night(at), folder)
        found.append((done.table.read_bytes(), done.quarantine.read_bytes(), done.read))
    assert found[0][:2] == found[1][:2]
    assert found[0][2].equals(found[1][2])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.sampled_from([LINE, "short", LINE + ",9", 'O,"C1,2026-01-02,P,1,2', LINE.replace("3.50", "free"), ""]),
        max_size=40,
    ),
    st.integers(1, 300),
)
def test_every_line_is_kept_or_set_aside_whatever_the_batches(rows: list[str], piece: int) -> None:
    import tempfile

    before = delimited.PIECE
    delimited.PIECE = piece
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = read_csv(Path(folder), lines(*rows))
    finally:
        delimited.PIECE = before
    present = [row for row in rows if row]
    assert result.table.height == sum(row == LINE for row in present)
    assert result.read["rows_read"] == len(present)


@pytest.mark.slow
def test_a_million_lines_within_bounded_memory(tmp_path: Path) -> None:
    import subprocess
    import sys

    content = lines(*[f"O{i // 3},C{i % 5000},2026-01-02 10:00:00,P{i % 100},2,3.50" for i in range(1_000_000)])
    (tmp_path / "orders.csv").write_text(content)
    program = (
        "import re, sys; from pathlib import Path; sys.path[:0] = sys.argv[1:3]\n"
        "from reading import night, TABLES; from lifecycle_assets.inputs import ingest; from resources.sources import Sources\n"
        "place = Path(sys.argv[3]); out = place / 'out'; out.mkdir()\n"
        "done = ingest.ingest(TABLES['order_lines'], Sources(place).at(str(place)), night(place), out)\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()).group(1)\n"
        "print(done.number('rows_kept'), int(peak) // 1024)"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", program, str(root), str(Path(__file__).parent), str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    kept, megabytes = map(int, run.stdout.split())
    assert kept == 1_000_000
    assert megabytes < 1200
