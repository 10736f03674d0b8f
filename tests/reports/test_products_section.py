"""What the lifecycle report says of baskets, recommendations, steps up and prices: never more than is known."""

import itertools
import re
from functools import cache

import numpy as np
import polars as pl
import pytest
from cases import undrawn
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import prices as naive_prices
from naive import products as naive_products
from products_frames import AS_OF, CATEGORIES, frames, pairs, price, priced, table
from report_frames import SHOP

from lifecycle_assets.models.cross_sell import CrossSellMatrix
from lifecycle_assets.models.price_outcomes import PriceOutcomes
from lifecycle_assets.models.prices import PriceRecommendations
from lifecycle_assets.reports import charts, prices, products, render, report
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Catalogue
from lifecycle_assets.reports.sections import prices as prices_section
from lifecycle_assets.reports.sections import products as products_section
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Products, Shop

CASES = ("rising", "flat", "falling", "tiny", "silent", "empty")
LANGUAGES = ("en", "es", "pt")
# Of settings.products: what the other cases leave out.
OTHER_WAYS = [
    {"cross_sell": {"basket": "customer"}, "prices": {"optimize_for": "revenue"}},
    {"cross_sell": {"basket": "customer", "window_days": None}},
    {"cross_sell": {"window_days": None}},
]
# Case -> sentences that must stand in its two sections, by language.
SAID = [
    ("rising", "en", "Pairs of categories that are bought together more often than chance would have it: 2 of the 3 with"),
    ("rising", "en", "The closest ties: Honey with Tea (1.88 times as often as by chance, 1.68 to 2.09; 90 baskets);"),
    ("rising", "es", "Las asociaciones más fuertes: Honey con Tea (1,88 veces lo esperable por azar, de 1,68 a 2,09; 90"),
    ("rising", "pt", "As associações mais fortes: Honey com Tea (1,88 vezes o esperado por acaso, de 1,68 a 2,09; 90 cestas);"),
    ("rising", "en", "list of what is bought most 0.12 (0.10 to 0.13). The method in use is better by more than chance."),
    ("rising", "en", "The changes judged by revenue are expected to bring £456.12 more in 28 days (£155.02 to £825.66) than"),
    ("rising", "en", "The changes judged by profit may well bring nothing: £20.10 is expected on top of the £535.00 at"),
    ("rising", "es", "En 1 de los 4 cambios, todo el intervalo probable de la ganancia está por encima de cero; en los demás"),
    ("rising", "pt", "Dos 4 maiores ganhos esperados, 1 tem todo o intervalo acima de zero"),
    ("flat", "en", "Of 2 pairs of categories with enough baskets to be judged, none is bought together more often than chance"),
    ("flat", "pt", "De 2 pares de categorias com cestas suficientes para avaliação, nenhum é comprado junto com mais"),
    ("flat", "es", "Los intervalos se solapan: no está demostrado que el método en uso sea mejor."),
    ("flat", "en", "Of the products studied (2), 2 have an advised price; below today's: 0, above it: 0, the same: 2."),
    ("falling", "en", "no method did better than the list of what is bought most, which scores 0.12 (0.09 to 0.15; the"),
    ("falling", "pt", "As mudanças avaliadas pela receita podem não trazer nada: a um total previsto de £ 1.120 com os preços"),
    ("falling", "es", "Ninguna de las 2 mayores ganancias esperadas tiene todo su intervalo por encima de cero"),
    ("falling", "en", "The prices studied are those paid in orders."),
    ("falling", "en", "p1 Green tea with p2 Green tea (3.47 times as often as by chance, 2.59 to 4.65; 25 baskets)"),
    ("tiny", "en", "The only pair of products with enough baskets to be judged is bought together more often than chance"),
    ("tiny", "en", "1 customer has a list of products to be shown next, 2 on average."),
    ("tiny", "es", "Todavía no se ha medido la calidad de estas listas"),
    ("tiny", "pt", "Há 1 sugestão de um produto superior; clientes com pelo menos uma: 1."),
    ("tiny", "en", "The whole likely range of the gain is above zero."),
    ("silent", "en", "No price is advised: of the only product studied it is not known well enough how demand follows the"),
    ("silent", "es", "El único par de categorías con suficientes cestas para evaluarlo no se compra junto más a menudo de lo"),
    ("empty", "en", "a pair of products or categories is judged from 20 baskets in common, and there is none."),
    ("empty", "es", "Ningún cliente tiene una lista de productos recomendados: para ello hacen falta pedidos que indiquen sus"),
    ("empty", "pt", "Não há preços recomendados: nenhum produto tem dias de venda suficientes com dois ou mais preços"),
]  # fmt: skip


def facts_of(tables: dict[str, pl.LazyFrame], shop: Shop = SHOP) -> Facts:
    made = Tables(tables)
    return products.facts(made, AS_OF, shop) | prices.facts(made, AS_OF, shop)


def sections_of(facts: Facts, language: str, shop: Shop = SHOP) -> list[render.Section]:
    tell = report.teller(facts, shop, language)
    return [products_section.cross_sell(tell), prices_section.prices(tell)]


@cache
def texts(case: str, language: str) -> list[str]:
    with undrawn():
        told = sections_of(facts_of(frames(case)), language)
    titles = [text for section in told for figure in section.figures for text in (figure.title, figure.alternative)]
    return [str(text) for section in told for text in (*section.sentences, *section.notes)] + [str(t) for t in titles]


@pytest.mark.parametrize(("case", "language", "sentence"), SAID)
def test_the_text_follows_the_data(case: str, language: str, sentence: str) -> None:
    told = [text.replace("\xa0", " ") for text in texts(case, language)]
    assert any(sentence in text for text in told), told


@pytest.mark.parametrize("case", CASES)
def test_the_facts_are_what_the_rows_say(case: str) -> None:
    tables = frames(case)
    rows = {name: frame.collect().to_dicts() for name, frame in tables.items()}
    again = naive_products.naive(rows, AS_OF, SHOP) | naive_prices.naive(rows, AS_OF, SHOP)
    facts = facts_of(tables)
    for path, expected in again.items():
        got = facts.value(path)
        if expected is None or isinstance(expected, int) or not isinstance(got, int | float):
            assert got == expected or float(str(got)) == pytest.approx(float(expected), abs=6e-5), path
        else:
            assert got == pytest.approx(expected, abs=1e-6), path


@pytest.mark.parametrize("case", ["rising", "flat", "falling"])
def test_the_order_of_the_rows_does_not_matter(case: str) -> None:
    tables = frames(case)
    mixed = {name: frame.collect().sample(fraction=1.0, shuffle=True, seed=5).lazy() for name, frame in tables.items()}
    assert facts_of(mixed).to_json() == facts_of(tables).to_json()


def test_a_tie_that_chance_explains_is_nowhere() -> None:
    facts = facts_of(frames("rising"))
    tied = [{row["first"], row["second"]} for row in facts.tables["cross_map"] + facts.tables["cross_category"]]
    assert {"Honey", "Tea"} in tied and {"Coffee", "Honey"} not in tied
    assert [row["name"] for row in facts.tables["cross_mapped"]] == list(CATEGORIES)


def test_every_obstacle_to_advice_is_named_from_the_numbers() -> None:
    assert facts_of(frames("rising")).tables["price_hindrances"] == [
        {"name": "no_fall", "products": 2},
        *({"name": name, "products": 1} for name in ("unclear", "beyond_belief", "no_model", "no_candidate")),
    ]


elasticity = st.floats(-8, -0.1)


@settings(max_examples=40, deadline=None)
@given(elasticity, elasticity, st.floats(0, 1), st.floats(0.8, 1.2), st.sampled_from([None, 1.0, 3.5]))
def test_the_range_of_a_gain_holds_what_any_elasticity_in_its_interval_would_bring(
    one: float, other: float, within: float, move: float, cost: float | None
) -> None:
    lo, hi = sorted((one, other))
    true, today = lo + within * (hi - lo), 5.0
    best = round(today * move, 2)
    advice, outcomes = priced([price("p1", today, best, (lo, true, hi), cost=cost)])
    tables = {
        "price_recommendations": table(PriceRecommendations, advice),
        "price_outcomes": table(PriceOutcomes, outcomes),
    }
    made = Tables(frames("empty") | {name: frame.lazy() for name, frame in tables.items()})
    changes = prices.facts(made, AS_OF, SHOP).tables["price_changes"]
    if best == today:
        assert not changes
        return
    margin = cost or 0.0
    brought = 100 * ((best - margin) * (best / today) ** true - (today - margin))
    (row,) = changes
    assert row["gain"] == pytest.approx(brought, rel=1e-9, abs=1e-9)
    assert row["lo"] <= row["gain"] <= row["hi"]
    assert row["clear"] == (row["lo"] > 0)
    for end in (lo, hi):
        at_end = 100 * ((best - margin) * (best / today) ** end - (today - margin))
        assert row["lo"] - 1e-6 <= at_end <= row["hi"] + 1e-6


def test_of_many_pairs_by_chance_none_is_told_and_a_real_tie_is() -> None:
    held = np.random.default_rng(4).random((1000, 40)) < 0.25
    held[:150, :2] = True
    together = held.T.astype(int) @ held.astype(int)
    names = [f"c{place:02}" for place in range(40)]
    both = {(names[i], names[j]): int(together[i, j]) for i, j in itertools.combinations(range(40), 2)}
    single = dict(zip(names, together.diagonal().tolist(), strict=True))
    matrix = table(CrossSellMatrix, pairs("category", single, both))
    assert matrix.filter("significant").height / 2 > 10
    found = products.tied(matrix.lazy()).select("item_i", "item_j").rows()
    assert sorted(found) == [("c00", "c01"), ("c01", "c00")]


def test_every_message_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    pick = Catalogue.pick
    monkeypatch.setattr(Catalogue, "pick", lambda self, key, *form: used.add(key) or pick(self, key, *form))
    # Of products only, none of whose pairs is more than chance.
    rows = frames("falling")
    rows["cross_sell_matrix"] = rows["cross_sell_matrix"].with_columns(significant=pl.lit(value=False))
    with undrawn():
        for case in CASES:
            sections_of(facts_of(frames(case)), "en")
        for way in OTHER_WAYS:
            shop = SHOP.model_copy(update={"products": Products.model_validate(way)})
            sections_of(facts_of(rows, shop), "en", shop)
    mine = r"(cross_sell|recommended|upsell|prices|chart\.(cross_sell|price_gains)|table\.(cross|recommended|upsell|price)_)"
    tell = report.teller(facts_of(frames("empty")), SHOP, "en")
    unused = {key for key in tell.writer.catalogue.messages if re.match(mine, key)} - used
    assert not unused


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pictures_hold_what_is_known_at_both_widths(language: str) -> None:
    facts = facts_of(frames("rising"))
    ties, gains = (section.figures[0] for section in sections_of(facts, language))
    for picture in (ties.picture.wide, ties.picture.narrow):
        shown = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
        assert set(CATEGORIES) <= set(shown)
        # Two pairs are tied, the third cell is empty.
        assert sum(bool(re.fullmatch(r"1[.,]\d+", text)) for text in shown) == 2
    for row in facts.tables["price_changes"]:
        name = row["name"].replace("<", "&lt;").replace(">", "&gt;")
        assert name in gains.picture.wide and name in gains.picture.narrow


def test_a_long_name_is_cut_to_the_room_that_its_row_leaves() -> None:
    names = [f"{place} {'WIDE CATEGORY NAME ' * 3}" for place in range(10)]
    drawn = charts.staircase(
        names, [{"first": names[0], "second": names[9], "value": 84.4, "wide": "84.4", "narrow": "84.4"}], "x"
    )
    cut = re.findall(r">(\d WIDE[^<]*)<", drawn.narrow)
    assert len(cut) == 10 and all(text.endswith("…") for text in cut)
    assert [len(text) for text in cut] == sorted((len(text) for text in cut), reverse=True)
