"""Every bad input that the specification lists: what is kept, what goes aside, and that nothing is lost in between."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from reading import HEADER, LINE, TABLES, lines, night, read, read_csv

from lifecycle_assets.errors import ContractError, InputError, InputNotReadyError
from lifecycle_assets.inputs import ingest
from lifecycle_assets.inputs.contracts import OrderLines
from resources.sources import Sources


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("latin-1", b""),
        ("cp1252", b""),
        ("utf-16", b""),
        ("utf-16-le", b""),
    ],
)
def test_encodings_and_byte_order_marks(tmp_path: Path, encoding: str, mark: bytes) -> None:
    text = lines("O1,C1,2026-01-02,Señor Ñandú,1,2.00")
    result = read_csv(tmp_path, mark + text.encode(encoding))
    assert result.table.select("order_id", "product_id").row(0) == ("O1", "Señor Ñandú")


def test_a_file_of_two_encodings(tmp_path: Path) -> None:
    content = (
        f"{HEADER}\n".encode() + "O1,C1,2026-01-02,Ñ,1,1\n".encode() + "O2,C1,2026-01-02,Ñ €,1,1\n".encode("cp1252")
    )
    assert read_csv(tmp_path, content).table["product_id"].to_list() == ["Ñ", "Ñ €"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(tmp_path: Path, separator: str) -> None:
    result = read_csv(tmp_path, lines(LINE, LINE).replace(",", separator))
    assert result.table["amount"].to_list() == [Decimal("7.0000")] * 2


def test_excels_separator_hint(tmp_path: Path) -> None:
    assert read_csv(tmp_path, "sep=;\r\n" + lines(LINE).replace(",", ";").replace("\n", "\r\n")).table.height == 1


def test_decimal_commas_and_thousands_points(tmp_path: Path) -> None:
    rows = ["O1;C1;2026-01-02;P1;1;1.234,56", "O2;C1;2026-01-02;P1;2;3,5", "O3;C1;2026-01-02;P1;1.000;1.234"]
    result = read_csv(tmp_path, lines(*rows, header=HEADER.replace(",", ";")))
    # The prices say that commas are decimal; so 1.000 units are a thousand, and 1.234 is no fraction either.
    assert result.table["amount"].to_list() == [Decimal("1234.5600"), Decimal("7.0000"), Decimal("1234000.0000")]


def test_quoted_newlines_separators_and_quotes(tmp_path: Path) -> None:
    result = read_csv(tmp_path, lines('O1,C1,2026-01-02,"P 1,\r\n""big"" 5\n",1,2', "O2,C1,2026-01-02,P2,1,2"))
    assert result.table["product_id"].to_list() == ['P 1,\r\n"big" 5', "P2"]


def test_excel_dates(tmp_path: Path) -> None:
    result = read_csv(tmp_path, lines("O1,C1,40513.35,P1,1,2", "O2,C1,40513,P1,1,2"), timezone="Europe/London")
    assert result.table["ordered_at"].to_list() == [
        dt.datetime(2010, 12, 1, 8, 24, tzinfo=dt.UTC),
        dt.datetime(2010, 12, 1, tzinfo=dt.UTC),
    ]


def test_an_empty_file_of_the_required_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"orders\.csv: the file is empty"):
        read_csv(tmp_path, "")


@pytest.mark.parametrize("content", ["", "\n\n", "product_id,name\n"])
def test_an_optional_table_may_be_empty(tmp_path: Path, content: str) -> None:
    result = read_csv(tmp_path, content, name="products.csv", table="products")
    assert result.table.height == 0
    assert result.read["source"].endswith("products.csv")


def test_a_header_only(tmp_path: Path) -> None:
    result = read_csv(tmp_path, HEADER + "\n")
    assert (result.read["rows_read"], result.read["last_at"]) == (0, None)


def test_a_header_without_a_line_end(tmp_path: Path) -> None:
    assert read_csv(tmp_path, HEADER).read["rows_read"] == 0


def test_a_repeated_column_is_an_error_when_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(
        ContractError, match=r"orders\.csv: the column name quantity stands in the header more than once"
    ):
        read_csv(tmp_path, lines(LINE + ",9", header=HEADER + ",quantity"))


def test_a_repeated_column_that_nobody_needs_is_harmless(tmp_path: Path) -> None:
    result = read_csv(tmp_path, lines(LINE + ",a,b", header=HEADER + ",note,note"))
    assert result.table.height == 1


def test_two_thousand_columns(tmp_path: Path) -> None:
    extra = [f"extra {i}" for i in range(2000)]
    rows = [
        f"O{n},C1,2026-01-02,P1,1,{'x' if n == 3 else n}," + ",".join(str(i) for i in range(2000)) for n in range(50)
    ]
    result = read_csv(tmp_path, lines(*rows, header=HEADER + "," + ",".join(extra)))
    assert result.table.height == 49
    assert json.loads(result.aside["row"][0])["extra 1999"] == "1999"


@pytest.mark.parametrize(
    ("ordered_at", "rule"),
    [
        ("1899-12-30 00:00:00", "min"),
        ("1/1/1899", "min"),
        ("2026-07-02", "future"),
        ("3026-01-01 10:00", "future"),
        ("soon", "unreadable"),
    ],
)
def test_dates_in_1899_in_the_future_and_none_at_all(tmp_path: Path, ordered_at: str, rule: str) -> None:
    result = read_csv(tmp_path, lines(LINE, LINE.replace("2026-01-02 10:00:00", ordered_at)))
    assert result.rules() == [(2, "ordered_at", rule)]


def test_tomorrow_is_not_the_future(tmp_path: Path) -> None:
    # Somewhere it is tomorrow already, and clocks are wrong by hours.
    assert read_csv(tmp_path, lines(LINE.replace("2026-01-02 10:00:00", "2026-07-01 23:59:59"))).table.height == 1


@pytest.mark.parametrize(
    ("quantity", "price", "rule"),
    [
        ("1e12", "1", ("quantity", "max")),
        ("-1e12", "1", ("quantity", "min")),
        ("NaN", "1", ("quantity", "nan")),
        ("inf", "1", ("quantity", "inf")),
        ("two", "1", ("quantity", "unreadable")),
        ("1", "-0.01", ("unit_price", "min")),
        ("1", "NaN", ("unit_price", "nan")),
        ("1", "-Infinity", ("unit_price", "inf")),
        ("1", "", ("unit_price", "nullability")),
        ("1e9", "1e9", ("amount", "range")),
    ],
)
def test_impossible_numbers(tmp_path: Path, quantity: str, price: str, rule: tuple[str, str]) -> None:
    result = read_csv(tmp_path, lines(LINE, f"O2,C1,2026-01-02,P1,{quantity},{price}"))
    assert result.rules() == [(2, *rule)]


def test_nan_and_infinity_are_nothing_where_a_value_is_optional(tmp_path: Path) -> None:
    rows = [LINE + ",nan", LINE + ",inf", LINE + ",1.25", LINE + ",cheap"]
    result = read_csv(tmp_path, lines(*rows, header=HEADER + ",unit_cost"))
    assert result.table["unit_cost"].to_list() == [None, None, 1.25]
    assert result.rules() == [(4, "unit_cost", "unreadable")]


def test_nan_in_a_parquet_file(tmp_path: Path) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    pl.DataFrame(
        {
            "order_id": ["A", "B", "C"],
            "ordered_at": [dt.datetime(2026, 1, 2)] * 3,  # noqa: DTZ001
            "quantity": [1.0, float("nan"), float("inf")],
            "unit_price": [1.0, 1.0, 1.0],
        }
    ).write_parquet(folder / "orders.parquet")
    assert read(night(folder), tmp_path).rules() == [(2, "quantity", "nan"), (3, "quantity", "inf")]


@pytest.mark.parametrize(
    "name",
    ["007", "O 1", "🛒-42", "Robert'); DROP TABLE raw.order_lines;--", "{{ 7*7 }}", "../../etc", "1e5", "0x1F", "１２"],
)
def test_ids_are_left_as_they_are(tmp_path: Path, name: str) -> None:
    row = f'"  {name} ","{name}",2026-01-02,"{name}\t",1,2'
    result = read_csv(tmp_path, lines(row))
    assert result.table.select("order_id", "customer_id", "product_id").row(0) == (name, name, name)


def test_ids_that_a_spreadsheet_made_floats(tmp_path: Path) -> None:
    result = read_csv(
        tmp_path, lines("1,17850.0,2026-01-02,P,1,2", "2,,2026-01-02,P,1,2", "3,00012.0,2026-01-02,P,1,2")
    )
    assert result.table["customer_id"].to_list() == ["17850", None, "00012"]


def test_an_id_with_a_point_keeps_it_when_others_are_no_floats(tmp_path: Path) -> None:
    result = read_csv(tmp_path, lines("1,17850.0,2026-01-02,P,1,2", "2,A-1,2026-01-02,P,1,2"))
    assert result.table["customer_id"].to_list() == ["17850.0", "A-1"]


def test_malformed_lines_go_aside_with_their_text(tmp_path: Path) -> None:
    rows = [
        LINE,
        "too,few",
        LINE + ",too,many",
        '"O4"x,C1,2026-01-02,P1,1,2',
        'O5,"C1,2026-01-02,P1,1,2',
        LINE,
        'O7,C1,2026-01-02,5" pipe,1,2',
    ]
    result = read_csv(tmp_path, lines(*rows))
    assert result.table["line_no"].to_list() == [1, 6, 7]
    assert result.table["product_id"][2] == '5" pipe'
    assert {rule for _, _, rule in result.rules()} == {"malformed"}
    assert [json.loads(row)["line"] for row in result.aside["row"]] == rows[1:5]
    assert result.aside["message"].to_list() == [
        "the line has 2 fields where the header has 6",
        "the line has 8 fields where the header has 6",
        "text follows a closing quote",
        "a quote is opened that is not closed as it should be",
    ]


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pl.DataFrame({"order_id": ["A"] * 1000}).write_parquet(whole)
    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "orders.parquet").write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(
        InputError, match=r"orders\.parquet: cannot be read, it is cut off or damaged .* Export or copy it again"
    ) as caught:
        read(night(folder), tmp_path)
    assert not isinstance(caught.value, InputNotReadyError)


def test_a_truncated_gzip_file_is_named(tmp_path: Path) -> None:
    import gzip

    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "orders.csv.gz").write_bytes(gzip.compress(lines(*[LINE] * 1000).encode())[:-20])
    with pytest.raises(InputError, match=r"orders\.csv\.gz: the compressed file is cut off"):
        read(night(folder), tmp_path)


class _Growing:
    """A source whose file grows each time it has been read, `times` over."""

    def __init__(self, path: Path, times: int) -> None:
        self.path, self.times, self.inner = path, times, Sources(path.parent).at(str(path.parent))
        self.origin = self.inner.origin

    def names(self) -> list[str]:
        return self.inner.names()

    def find(self, *names: str):  # type: ignore[no-untyped-def]
        feed = self.inner.find(*names)
        if feed is None:
            return None
        batches = feed.batches

        def growing():  # type: ignore[no-untyped-def]
            for batch in batches():
                if self.times:
                    self.times -= 1
                    with self.path.open("a") as file:
                        file.write(LINE + "\n")
                yield batch

        feed.batches = growing  # type: ignore[method-assign]
        return feed


@pytest.mark.parametrize(("times", "rows"), [(0, 1), (1, 2), (2, 3)])
def test_a_file_that_grows_while_it_is_read_is_read_again(tmp_path: Path, times: int, rows: int) -> None:
    path = tmp_path / "input" / "orders.csv"
    path.parent.mkdir()
    path.write_text(lines(LINE))
    done = ingest.ingest(OrderLines, _Growing(path, times), night(path.parent), tmp_path)
    assert done.number("rows_kept") == rows == pl.read_parquet(done.table).height


def test_a_file_that_never_stops_growing_is_an_error_that_may_pass(tmp_path: Path) -> None:
    path = tmp_path / "input" / "orders.csv"
    path.parent.mkdir()
    path.write_text(lines(LINE))
    with pytest.raises(InputNotReadyError, match=r"orders\.csv: changed while it was read"):
        ingest.ingest(OrderLines, _Growing(path, 99), night(path.parent), tmp_path)


def test_another_currency_goes_aside(tmp_path: Path) -> None:
    result = read_csv(
        tmp_path, lines(LINE + ",EUR", LINE + ",usd", LINE + ",", LINE + ",eur", header=HEADER + ",currency")
    )
    assert result.rules() == [(2, "currency", "currency")]
    assert result.table["currency"].to_list() == ["EUR", None, "EUR"]


def test_a_row_is_set_aside_once_under_its_first_column(tmp_path: Path) -> None:
    result = read_csv(tmp_path, lines(",C1,never,P1,many,-1"))
    assert result.rules() == [(1, "order_id", "nullability")]
    assert json.loads(result.aside["row"][0]) == dict(
        zip(HEADER.split(","), [None, "C1", "never", "P1", "many", "-1"], strict=True)
    )


def test_too_many_bad_rows_name_file_column_rule_count_and_examples(tmp_path: Path) -> None:
    rows = (
        [LINE] * 90
        + [LINE.replace("3.50", price) for price in ["free", "gratis", "none at all", "ask"]]
        + [LINE.replace("2,", "x,")] * 2
    )
    with pytest.raises(ContractError) as caught:
        read_csv(tmp_path, lines(*rows), inputs={"quarantine_limit": 0.05})
    said = str(caught.value)
    for part in (
        "orders.csv",
        "6 of 96 rows",
        "unit_price",
        "unreadable",
        "4 rows",
        "row 91: 'free'",
        "row 92: 'gratis'",
        "row 93",
    ):
        assert part in said
    assert "row 94" not in said


def test_just_as_many_bad_rows_as_allowed_pass(tmp_path: Path) -> None:
    assert read_csv(tmp_path, lines(*[LINE] * 19, "x"), inputs={"quarantine_limit": 0.05}).table.height == 19


def test_personal_values_are_masked_in_the_error(tmp_path: Path) -> None:
    content = "customer_id,birth_date,email\nC1,secret-day,ana@example.org\n"
    with pytest.raises(ContractError, match=r"row 1: \*\*\*") as caught:
        read_csv(tmp_path, content, name="customers.csv", table="customers", inputs={"quarantine_limit": 0.05})
    assert "secret-day" not in str(caught.value)
    assert "ana@" not in str(caught.value)


def test_addresses_are_masked_in_the_error_wherever_they_stand(tmp_path: Path) -> None:
    content = "customer_id,question,answer,responded_at,response_id\nC,q,9,2026-01-01,ana@example.org\n" * 2
    rows = "response_id,answer,responded_at\nana@example.org,1,2026-01-01\nana@example.org,2,2026-01-01\n"
    for text in (rows, content.replace("response_id", "ana@example.org", 1)):
        with pytest.raises(ContractError, match=r"\*\*\*") as caught:
            read_csv(
                tmp_path, text, name="survey_responses.csv", table="survey_responses", inputs={"quarantine_limit": 0.05}
            )
        assert "ana@" not in str(caught.value)


def test_a_missing_required_column_is_named_with_the_columns_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        ContractError, match=r"orders\.csv: raw\.order_lines needs ordered_at, .* columns are: order_id, unit_price\."
    ):
        read_csv(tmp_path, "order_id,unit_price\nO1,1\n")


def test_left_out_rows_do_not_count_against_the_limit(tmp_path: Path) -> None:
    rule = {"column": "product_id", "values": ["FUEL"], "reason": "fuel"}
    mapping = {"tables": {"order_lines": {"leave_out": [rule]}}}
    rows = [LINE] * 19 + [LINE.replace("P1", "FUEL").replace("3.50", "bad")] * 50 + ["x"]
    result = read_csv(tmp_path, lines(*rows), mapping=mapping, inputs={"quarantine_limit": 0.05})
    assert (result.read["rows_left_out"], result.table.height) == (50, 19)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "customers",
            "customer_id\nC1\nC2\nC1\nC1\n",
            [(3, "customer_id", "repeated"), (4, "customer_id", "repeated")],
        ),
        ("suppressions", "customer_id,channel\nC1,email\n,email\n", [(2, None, "someone")]),
        (
            "survey_responses",
            "response_id,answer,responded_at\n1,10,2026-01-01\n2,11,2026-01-01\n",
            [(2, "answer", "max")],
        ),
        (
            "payment_events",
            "payment_id,customer_id,occurred_at,status\n1,C,2026-01-01,PAID\n2,C,2026-01-01,lost\n",
            [(2, "status", "check")],
        ),
        (
            "consents",
            "customer_id,channel,granted,occurred_at\nC,email,yes,2026-01-01\nC,email,perhaps,2026-01-02\n",
            [(2, "granted", "unreadable")],
        ),
    ],
)
def test_other_tables(tmp_path: Path, name: str, content: str, expected: list[tuple[int, str | None, str]]) -> None:
    result = read_csv(tmp_path, content, name=f"{name}.csv", table=name)
    assert result.rules() == expected
    assert result.table.height == result.read["rows_read"] - len(expected)


@pytest.mark.parametrize("name", sorted(set(TABLES) - {"order_lines"}))
def test_a_table_that_the_shop_does_not_have_is_empty_and_typed(tmp_path: Path, name: str) -> None:
    (tmp_path / "orders.csv").write_text(lines(LINE))
    result = read(night(tmp_path), tmp_path, TABLES[name])
    assert (result.table.height, result.read["source"], result.read["rows_read"]) == (0, None, 0)


def test_no_order_lines_at_all_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("customer_id\nC1\n")
    with pytest.raises(ContractError, match="there are no order lines.*named order_lines or orders"):
        read(night(tmp_path), tmp_path)
