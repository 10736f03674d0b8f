"""The first configuration and the list of problems, as `init` and `check` give them to people."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from reading import HEADER, LINE, TABLES, TODAY, lines, night, read
from test_formats import HEADERS, RETAIL, SHOPIFY

from lifecycle_assets.errors import InputError
from lifecycle_assets.inputs import check, guess, ingest
from lifecycle_assets.settings import Shop, parse
from resources.sources import Sources


def guessed(place: Path | str, tmp_path: Path, **known: str) -> tuple[str, Shop]:
    text = guess.shop_yaml(
        Sources(tmp_path).at(str(place)),
        name="My shop",
        place=str(place),
        timezone=known.get("timezone"),
        currency=known.get("currency"),
        country=known.get("country"),
        today=TODAY,
        contracts=list(TABLES.values()),
        folder=tmp_path,
    )
    return text, parse(Shop, text, "guessed")


def test_online_retail_from_its_parquet_file(tmp_path: Path) -> None:
    frame = pl.DataFrame(RETAIL, schema=HEADERS["first"], orient="row").with_columns(
        pl.col("InvoiceDate").str.to_datetime("%m/%d/%Y %H:%M"),
        pl.col("Quantity", "UnitPrice", "CustomerID").cast(pl.Float64),
    )
    frame.write_parquet(tmp_path / "retail data.parquet")
    text, shop = guessed(tmp_path / "retail data.parquet", tmp_path)
    assert (shop.mapping.preset, shop.timezone, shop.currency, shop.country) == (
        "online_retail",
        "Europe/London",
        "GBP",
        "GB",
    )
    assert shop.as_of == dt.date(2010, 12, 13)
    assert "has the columns of this export" in text
    assert "The data ends on 2010-12-13" in text


def test_a_spanish_export_of_no_known_system(tmp_path: Path) -> None:
    place = tmp_path / "exportación"
    place.mkdir()
    (place / "Ventas.csv").write_bytes(
        "Nº Pedido;Cliente;Fecha compra;Artículo;Cantidad;Precio unitario;País;Nota\n"
        "1;C1;03/06/2026;A;2;3,50;España;x\n1;C1;03/06/2026;B;1;1.234,50;España;y\n".encode("latin-1")
    )
    (place / "clientes.csv").write_text("ID Cliente;Correo;Nombre\nC1;a@b.es;Ana\n")
    text, shop = guessed(place, tmp_path)
    assert (shop.timezone, shop.currency, shop.country, shop.as_of) == ("Europe/Madrid", "EUR", "ES", None)
    assert "the most frequent country in the column 'País'" in text
    assert "not used: Nota" in text
    out = tmp_path / "out"
    out.mkdir()
    table = read(night(place, mapping=shop.mapping.model_dump()), out).table
    assert table["amount"].sum() == pytest.approx(1241.5)
    assert table["order_date"].unique().to_list() == [dt.date(2026, 6, 3)]
    people = read(night(place, mapping=shop.mapping.model_dump()), out, TABLES["customers"]).table
    assert people.select("customer_id", "email", "first_name").rows() == [("C1", "a@b.es", "Ana")]


@pytest.mark.parametrize(
    ("name", "header", "country", "home", "people", "goods"),
    [
        (
            "Bestellungen",
            "Bestell-Nr.;Kundennummer;Bestelldatum;Artikelnummer;Menge;Stückpreis;Rabatt;Land;Währung",
            "Deutschland",
            ("Europe/Berlin", "EUR", "DE"),
            ("Kunden", "Kunden-Nr.;E-Mail-Adresse;Vorname;Geburtsdatum;Telefon"),
            ("Artikel", "Artikelnummer;Bezeichnung;Kategorie;Preis;Einkaufspreis;Marke"),
        ),
        (
            "Commandes",
            "N° commande;Client;Date d'achat;Réf. article;Qté;Prix unitaire;Remise;Pays;Devise",
            "Frankreich",
            ("Europe/Paris", "EUR", "FR"),
            ("Clients", "ID client;Courriel;Prénom;Date de naissance;Téléphone"),
            ("Produits", "Code article;Désignation;Catégorie;Prix;Prix d'achat;Marque"),
        ),
    ],
    ids=["German", "French"],
)
def test_german_and_french_exports(
    tmp_path: Path,
    name: str,
    header: str,
    country: str,
    home: tuple[str, str, str],
    people: tuple[str, str],
    goods: tuple[str, str],
) -> None:
    place = tmp_path / "input"
    place.mkdir()
    (place / f"{name}.csv").write_text(f"{header}\n1;C1;03.06.2026;A;2;1.234,50;4,50;{country};EUR\n")
    (place / f"{people[0]}.csv").write_text(f"{people[1]}\nC1;a@b.de;Ana;13.02.1990;030 1\n")
    (place / f"{goods[0]}.csv").write_text(f"{goods[1]}\nA;Mug;Cups;1.234,50;9,5;Acme\n")
    _, shop = guessed(place, tmp_path)
    assert (shop.timezone, shop.currency, shop.country) == home
    out = tmp_path / "out"
    out.mkdir()
    at = night(place, mapping=shop.mapping.model_dump())
    line = read(at, out).table.row(0, named=True)
    assert (line["order_id"], line["customer_id"], line["order_date"]) == ("1", "C1", dt.date(2026, 6, 3))
    assert (line["product_id"], line["quantity"], line["amount"]) == ("A", 2.0, Decimal("2464.5"))
    customer = read(at, out, TABLES["customers"]).table.row(0, named=True)
    assert (customer["customer_id"], customer["email"], customer["first_name"]) == ("C1", "a@b.de", "Ana")
    assert (customer["birth_date"], customer["phone"]) == (dt.date(1990, 2, 13), "030 1")
    product = read(at, out, TABLES["products"]).table.row(0, named=True)
    assert (product["product_id"], product["name"], product["category"], product["brand"]) == (
        "A",
        "Mug",
        "Cups",
        "Acme",
    )
    assert (product["price"], product["unit_cost"]) == (1234.5, 9.5)


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(lines(LINE))
    _, shop = guessed(tmp_path, tmp_path, timezone="Asia/Tokyo", currency="JPY", country="JP")
    assert (shop.timezone, shop.currency, shop.country) == ("Asia/Tokyo", "JPY", "JP")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"country": "MX"}, ("America/Mexico_City", "MXN", "MX")),
        ({"timezone": "America/Lima"}, ("America/Lima", "PEN", "PE")),
        ({"currency": "BRL"}, ("America/Sao_Paulo", "BRL", "BR")),
    ],
)
def test_one_thing_follows_from_another(tmp_path: Path, known: dict[str, str], expected: tuple[str, str, str]) -> None:
    (tmp_path / "orders.csv").write_text(lines(LINE))
    _, shop = guessed(tmp_path, tmp_path, **known)
    assert (shop.timezone, shop.currency, shop.country) == expected


def test_the_currency_is_read_from_its_column(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(
        lines(LINE + ",cad", LINE + ",usd", LINE + ",CAD ", header=HEADER + ",currency")
    )
    text, shop = guessed(tmp_path, tmp_path, country="CA")
    assert shop.currency == "CAD"
    assert "the most frequent currency in the column 'currency'" in text


def test_canonical_names_map_to_themselves(tmp_path: Path) -> None:
    (tmp_path / "order_lines.csv").write_text(lines(LINE))
    _, shop = guessed(tmp_path, tmp_path)
    assert shop.mapping.preset == "canonical"


def test_order_totals_are_prices_of_one(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("Order,Created,Total,Qty,Comment\n1,2026-06-01,30.00,3,x\n")
    text, shop = guessed(tmp_path, tmp_path)
    assert shop.mapping.tables["order_lines"].columns == {
        "Order": "order_id",
        "Created": "ordered_at",
        "Total": "unit_price",
    }
    assert "a total, taken as the price of one unit" in text


def test_a_column_without_a_usual_name_is_told_by_its_values(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("order,wann,price,note\n1,2026-06-01 10:00,3.5,x\n2,2026-06-02 10:00,3.5,y\n")
    text, shop = guessed(tmp_path, tmp_path)
    assert shop.mapping.tables["order_lines"].columns["wann"] == "ordered_at"
    assert "please check" in text


def test_what_cannot_be_understood_is_said_in_the_text(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("foo,bar\n1,2\n")
    text, _ = guessed(tmp_path, tmp_path)
    assert "cannot be read like this yet" in text
    assert "raw.order_lines needs order_id" in text


def test_shopify_is_recognised_in_a_folder_of_parts(tmp_path: Path) -> None:
    (tmp_path / "orders_export_1.csv").write_text(SHOPIFY)
    assert guessed(tmp_path, tmp_path)[1].mapping.preset == "shopify"


def problems(tmp_path: Path, at: Path | str, **settings: object) -> list[tuple[str, str, str]]:
    staged = tmp_path / "staged"
    staged.mkdir(exist_ok=True)
    found = check.problems(night(at, **settings), Sources(tmp_path).open, list(TABLES.values()), staged)
    return [(problem.level, problem.table, problem.text) for problem in found]


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    place = tmp_path / "input"
    place.mkdir()
    (place / "orders.csv").write_text("order,ordered_at\n1,2026-06-01\n")
    (place / "customers.csv").write_text("id\n1\n")
    (place / "products.csv").write_text("product_id,price\n1,cheap\n2,3\n")
    (place / "notes.csv").write_text("a\n1\n")
    found = problems(tmp_path, place, mapping={"tables": {"orderlines": {}}}, inputs={"quarantine_limit": 0.9})
    assert [(level, table) for level, table, _ in found] == [
        ("error", "orderlines"), ("error", "customers"), ("error", "order_lines"),
        ("warning", "products"), ("info", "products"),
    ]  # fmt: skip
    assert "1 rows would be set aside: price: not a number (the first is data row 1)" in found[3][2]
    assert sorted(path.name for path in place.iterdir()) == ["customers.csv", "notes.csv", "orders.csv", "products.csv"]


def test_a_sound_input_has_no_problems(tmp_path: Path) -> None:
    place = tmp_path / "input"
    place.mkdir()
    (place / "orders.csv").write_text(
        lines(LINE.replace("2026-01-02", "2026-06-29"), LINE.replace("C1", "").replace("2026-01-02", "2026-06-28"))
    )
    (place / "notes.csv").write_text("a\n1\n")
    found = problems(tmp_path, place)
    assert [level for level, *_ in found] == ["info", "info"]
    assert (
        "2 rows read, 2 kept. 1 without a customer, 0 with a negative quantity, from 2026-06-28 to 2026-06-29"
        in found[0][2]
    )
    assert found[1][1] == "notes"


def test_opt_outs_that_were_read_with_caution_are_told(tmp_path: Path) -> None:
    place = tmp_path / "input"
    place.mkdir()
    (place / "orders.csv").write_text(lines(LINE.replace("2026-01-02", "2026-06-29")))
    (place / "suppressions.csv").write_text("customer_id,channel\nC1,newsletter\nC2,email\n")
    assert ("warning", "suppressions") in [(level, table) for level, table, _ in problems(tmp_path, place)]
    assert any("1 opt-outs have a channel or a date" in text for _, _, text in problems(tmp_path, place))


def test_late_data_and_a_missing_folder_are_problems(tmp_path: Path) -> None:
    place = tmp_path / "input"
    place.mkdir()
    (place / "orders.csv").write_text(lines(LINE))
    assert ("warning", "order_lines") in [(level, table) for level, table, _ in problems(tmp_path, place)]
    assert problems(tmp_path, tmp_path / "nowhere")[0][:2] == ("error", "input")


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "shops").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_example_shops_are_valid(path: Path) -> None:
    shop = parse(Shop, path.read_text("utf-8"), path.name)
    assert shop.mapping.preset in {path.stem, "complete_journey"}
    for contract in TABLES.values():
        ingest.recipe_of(contract, night("x", mapping=shop.mapping.model_dump(exclude_unset=True)))


def test_a_missing_input_cannot_be_guessed_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file or folder"):
        guessed(tmp_path / "nowhere", tmp_path)
