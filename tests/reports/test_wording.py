"""What the lifecycle report says of one shop after another, in each language: rising, flat, falling, tiny, missing data."""

import re
from collections.abc import Iterator
from functools import cache

import pytest
from cases import told, undrawn

from lifecycle_assets.reports.report import sentences

READER = {"en": "en-US", "es": "es-ES", "pt": "pt-BR"}
# # stands for any number, @ for any amount of money, as the reader's country writes it.
EXAMPLES = [
    # Rising, and significantly so.
    ("rising", "en", "Customer revenue is up #% on the # days before"),
    ("rising", "es", "Los ingresos de clientes suben un # % frente a los # días anteriores"),
    ("rising", "pt", "A receita de clientes sobe #% em relação aos # dias anteriores"),
    (
        "rising",
        "en",
        "Customers spent @ in the last # days, #% more than in the # days before (@). Chance alone would not explain it: "
        "the likely range is +#% to +#%.",
    ),
    (
        "rising",
        "es",
        "Los clientes gastaron @ en los últimos # días, un # % más que en los # días anteriores (@). El azar por sí solo no "
        "lo explica: el intervalo probable va de +# % a +# %.",
    ),
    (
        "rising",
        "pt",
        "Os clientes gastaram @ nos últimos # dias, #% a mais que nos # dias anteriores (@). O acaso sozinho não explica "
        "isso: o intervalo provável vai de +#% a +#%.",
    ),
    # Flat: a difference, but not a significant one.
    ("flat", "en", "No clear change in customer revenue against the # days before"),
    ("flat", "es", "Los ingresos de clientes no muestran un cambio claro frente a los # días anteriores"),
    ("flat", "pt", "A receita de clientes não mostra mudança clara em relação aos # dias anteriores"),
    (
        "flat",
        "en",
        "Customers spent @ in the last # days, against @ in the # days before. That is no clear change: its likely range, "
        "−#% to +#%, includes none at all.",
    ),
    (
        "flat",
        "es",
        "Los clientes gastaron @ en los últimos # días, frente a @ en los # días anteriores. No es un cambio claro: su "
        "intervalo probable, de −# % a +# %, incluye que no haya ninguno.",
    ),
    (
        "flat",
        "pt",
        "Os clientes gastaram @ nos últimos # dias, contra @ nos # dias anteriores. Não é uma mudança clara: o intervalo "
        "provável, de −#% a +#%, inclui a possibilidade de não haver nenhuma.",
    ),
    (
        "flat",
        "en",
        "Not clearly changed against the # days before: buyers, orders, average order, and orders per buyer.",
    ),
    (
        "flat",
        "es",
        "Sin cambios claros frente a los # días anteriores: compradores, pedidos, valor medio por pedido y pedidos por "
        "comprador.",
    ),
    (
        "flat",
        "pt",
        "Sem mudança clara em relação aos # dias anteriores: compradores, pedidos, valor médio por pedido e pedidos por "
        "comprador.",
    ),
    # Falling, and why.
    ("falling", "en", "Customer revenue is down #% on the # days before"),
    ("falling", "es", "Los ingresos de clientes bajan un # % frente a los # días anteriores"),
    ("falling", "pt", "A receita de clientes cai #% em relação aos # dias anteriores"),
    ("falling", "en", "Mainly because fewer customers bought: # against #. That alone is worth −@."),
    ("falling", "es", "Sobre todo porque compraron menos clientes: # frente a #. Solo eso supone −@."),
    ("falling", "pt", "Principalmente porque menos clientes compraram: # contra #. Só isso representa −@."),
    ("falling", "en", "More customers slipped away than came back: # against #"),
    ("falling", "es", "Se alejaron más clientes de los que volvieron: # frente a #"),
    ("falling", "pt", "Mais clientes se afastaram do que voltaram: # contra #"),
    # Since the night before.
    ("flat", "en", "The last day brought # orders, within what is usual for that weekday (# to #)."),
    ("flat", "es", "El último día entraron # pedidos, dentro de lo habitual para ese día de la semana (de # a #)."),
    (
        "flat",
        "pt",
        "O número de pedidos do último dia (#) ficou dentro do habitual para esse dia da semana (de # a #).",
    ),
    ("flat", "en", "Customers since the night before: # new, # slipped to at risk or lapsed, # came back."),
    (
        "flat",
        "es",
        "Clientes desde la noche anterior: nuevos, #; pasaron a estar en riesgo o inactivos, #; volvieron, #.",
    ),
    ("flat", "pt", "Clientes desde a noite anterior: novos, #; passaram a estar em risco ou inativos, #; voltaram, #."),
    # Too few to tell.
    ("tiny", "en", "Too few buyers in the last # days to call a trend"),
    ("tiny", "es", "Muy pocos compradores en los últimos # días para hablar de una tendencia"),
    ("tiny", "pt", "Poucos compradores nos últimos # dias para apontar uma tendência"),
    ("tiny", "en", "With fewer than # buyers in one of the two periods a cause would be a guess, so none is given."),
    (
        "tiny",
        "es",
        "Con menos de # compradores en uno de los dos periodos, señalar una causa sería adivinar; por eso no se indica "
        "ninguna.",
    ),
    (
        "tiny",
        "pt",
        "Com menos de # compradores em um dos dois períodos, apontar uma causa seria adivinhação; por isso, nenhuma é "
        "indicada.",
    ),
    (
        "tiny",
        "en",
        "The last order in the data is # days older than this report (June #, #). Recent changes may be missing.",
    ),
    # A history too short for last year; one order on the last day.
    ("silent", "en", "A year-on-year comparison needs older data: the data starts on April #, #."),
    (
        "silent",
        "es",
        "Falta el año anterior para comparar: los datos empiezan el # de abril de #.",
    ),
    ("silent", "pt", "A comparação com o ano anterior exige dados mais antigos: os dados começam em # de abril de #."),
    ("silent", "en", "The last day brought # order. On that weekday there are too few to say what is usual."),
    ("silent", "es", "El último día entró # pedido. Ese día de la semana hay muy pocos para saber qué es lo habitual."),
    (
        "silent",
        "pt",
        "Pedidos no último dia: #. Nesse dia da semana, os pedidos são poucos para dizer o que é habitual.",
    ),
    # Nothing goes out, and why.
    ("silent", "en", "Nothing goes out. Customers looked at: #; each has a stated reason, shown below."),
    (
        "silent",
        "es",
        "No sale ningún mensaje. Clientes evaluados: #; para cada uno consta un motivo, que se indica más abajo.",
    ),
    (
        "silent",
        "pt",
        "Nenhuma mensagem será enviada. Clientes avaliados: #; para cada um há um motivo, mostrado abaixo.",
    ),
    ("silent", "en", "The most common reason for silence: has not agreed to be contacted on the channel (#)"),
    ("silent", "es", "Motivo más frecuente para no enviar nada: no ha dado su consentimiento para este canal (#)"),
    ("silent", "pt", "Motivo mais comum para não enviar nada: não deu consentimento para este canal (#)"),
    # No data at all.
    ("empty", "en", "No customers yet"),
    ("empty", "es", "Todavía no hay clientes"),
    ("empty", "pt", "Ainda não há clientes"),
    ("empty", "en", "There is no purchase by a known customer on or before June #, #."),
    ("empty", "es", "No consta ninguna compra de un cliente identificado hasta el # de junio de # inclusive."),
    ("empty", "pt", "Não há nenhuma compra de cliente identificado até # de junho de #, inclusive."),
    ("empty", "en", "No input was read."),
    ("empty", "es", "No se leyó ningún dato de entrada."),
    ("empty", "pt", "Nenhum dado de entrada foi lido."),
    # What was set aside, from codes.
    ("rising", "en", "order_lines.unit_price: below the smallest value allowed: #."),
    ("rising", "es", "order_lines.unit_price: por debajo del valor mínimo permitido: #."),
    ("rising", "pt", "order_lines.unit_price: abaixo do menor valor permitido: #."),
]


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with undrawn():
        yield


@cache
def texts(case: str, language: str) -> list[str]:
    """With plain spaces."""
    page = told("lifecycle", case, READER[language]).page
    return [re.sub("[\u00a0\u202f]", " ", sentence.text).replace("\u2060", "") for _, sentence in sentences(page)]


@pytest.mark.parametrize(("case", "language", "sentence"), EXAMPLES)
def test_the_report_says(case: str, language: str, sentence: str) -> None:
    number = r"\d+(?:[.,]\d+)*"
    pattern = re.escape(sentence).replace("@", rf"(?:\$|R\$ )?{number}(?: €)?").replace(r"\#", number)
    assert any(re.search(rf"(?<!\w){pattern}", text) for text in texts(case, language)), texts(case, language)


@pytest.mark.parametrize("language", READER)
def test_what_is_not_known_is_not_said(language: str) -> None:
    """No dash for a number that is missing, no cause without a change, no word of a stage in another language."""
    for case in ("tiny", "silent", "empty"):
        assert not any("–" in text for text in texts(case, language))
    assert not {text for text in texts("flat", language) if re.match("Mainly|Sobre todo|Principalmente", text)}
