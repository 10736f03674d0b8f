"""Does a draft say anything that its facts do not?

A draft is held against the text of its facts. What it names must be in there: web and e-mail addresses, codes, numbers with
what they count (10 % is not 10 days) and in words, days and months, names (a capital inside a sentence, words in capitals or
in quotation marks), and words that promise or press (free, guaranteed, last chance). Numbers must be there as often, for 10 %
and another 10 % are more than 10 %. Names at the beginning of a sentence cannot be told from other words. It errs on the side
of refusing; English, Spanish and Portuguese are known.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

_PERCENT = ("%", "percent", "per cent", "por ciento", "por cento")
_NUMBER_WORDS = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million dozen "
    "dozens once twice thrice half halves third thirds quarter quarters fifth double triple",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho "
    "veintinueve treinta cuarenta cincuenta sesenta setenta ochenta noventa cien cientos mil miles millón docena "
    "docenas medio media mitad tercio tercios cuarto cuartos quinto doble triple",
    "pt": "zero dois duas três quatro cinco seis sete oito nove dez onze doze treze catorze quatorze quinze dezesseis "
    "dezasseis dezessete dezassete dezoito dezenove dezanove vinte trinta quarenta cinquenta sessenta setenta oitenta noventa "
    "cem centenas mil milhares milhão dúzia dúzias meio meia metade terço terços quarto quartos quinto dobro triplo",
}
_DAYS = {
    "en": "monday tuesday wednesday thursday friday saturday sunday january february april june july august september "
    "october november december today tonight tomorrow yesterday midnight weekend christmas easter",
    "es": "lunes martes miércoles jueves viernes sábado domingo enero febrero marzo abril mayo junio julio agosto septiembre "
    "octubre noviembre diciembre hoy mañana ayer medianoche navidad",
    "pt": "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo janeiro fevereiro março abril maio "
    "junho julho agosto setembro outubro novembro dezembro hoje amanhã ontem meia-noite natal páscoa",
}
# Beginnings of words, so that guarantee, guaranteed and guarantees are one.
_PROMISES = {
    "en": "free|guarant|last chance|last days|only|hurry|limited|exclusive|best price|cheap|lowest|winner|prize|gift|present|"
    "bonus|refund|money back|for nothing|risk|no cost|no obligation|unlimited|lifetime|expire|ends|deadline|urgent|"
    "while stocks|cash",
    "es": "gratis|gratuit|garant|última|últimos|solo|sólo|únic|exclusiv|regal|premi|ganador|sin cost|sin riesgo|sin compromiso|"
    "reembols|devol|ilimitad|mejor precio|más barat|caduc|termina|acaba|date prisa|urgent|hasta agotar|limitad",
    "pt": "grátis|gratuit|garant|última|últimos|só|somente|apenas|únic|exclusiv|present|brinde|prêmio|ganhador|sem cust|"
    "sem risco|sem compromisso|reembols|devol|ilimitad|melhor preço|mais barat|expira|termina|acaba|corra|urgent|limitad|"
    "enquanto durar",
}
LANGUAGES = tuple(_PROMISES)

_ADDRESS = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|\b[\w-]+\.[a-z]{2,}(?:/\S*)?", re.IGNORECASE)
_CODE = re.compile(r"\b(?=\w*\d)(?=\w*[^\W\d_])[\w-]+")
_NUMBER = re.compile(
    r"(?P<before>[$€£¥])?\s?(?<![\w.,])(?P<number>\d+(?:[.,:]\d+)*)\s?(?P<after>%|[$€£¥]|per cent\b|por \w+|[^\W\d_]+)?",
    re.IGNORECASE,
)
# A percentage whose number is no figure: "forty percent", "ciento por ciento".
_SPELT_PERCENT = re.compile(
    r"(?<!\d)(?<!\d\s)(?:[%‰％٪]|\b(?:percent|per\s+cent|pct|por\s+ciento|porcent|por\s+cento)\w*)", re.IGNORECASE
)
_QUOTED = re.compile(r"[\"“«„]([^\"”»“]+)[\"”»“]")
_CAPITALS = re.compile(r"\b[^\W\d_]*[A-ZÀ-Þ][^\W\d_]*[A-ZÀ-Þ][^\W\d_]*\b")
_NAME = re.compile(r"(?<![.!?:…\n¡¿\"“«(—-])(?<![.!?:…\"”)]\s)(?<!^)(?:(?<=\s)|(?<=['’]))[A-ZÀ-Þ][^\W_]+")


def invented(draft: str, facts: Sequence[str], language: str) -> str | None:
    """The first thing that the draft says and the facts do not, in words; None where there is none. A figure may stand in
    the draft as often as in the fact that has it most often."""
    everything = "\n".join(facts).casefold()
    for what, found in _kinds(language).items():
        known: Counter[str] = Counter()
        for fact in facts:
            known |= _counted(found(fact))
        for one, times in _counted(found(draft)).items():
            if what in _ANYWHERE and one in everything:
                continue
            if one not in known:
                return f"{what} '{_as_said(one, found(draft))}'"
            if what in _FIGURES and times > known[one]:
                return f"{what} '{_as_said(one, found(draft))}' {times} times"
    return None


# What may stand anywhere in the facts, as a part of something else too.
_ANYWHERE = ("the address", "the name", "the quotation")
_FIGURES = ("the number", "the number word", "the number sign", "the percentage")


def _counted(found: Iterator[str]) -> Counter[str]:
    return Counter(one.casefold() for one in found)


def _as_said(one: str, found: Iterator[str]) -> str:
    return next(said for said in found if said.casefold() == one)


def _kinds(language: str) -> dict[str, Callable[[str], Iterator[str]]]:
    """What is looked for in a text, by what it is called."""
    return {
        "the address": lambda text: (one.rstrip(".,;:!?)") for one in _ADDRESS.findall(text)),
        "the code": lambda text: iter(_CODE.findall(text)),
        "the number": _numbers,
        "the number word": _words(_NUMBER_WORDS[language].replace(" ", "|"), whole=True),
        "the number sign": lambda text: (sign for sign in text if sign.isnumeric() and not sign.isascii()),
        "the percentage": lambda text: iter(_SPELT_PERCENT.findall(text)),
        "the day": _words(_DAYS[language].replace(" ", "|"), whole=True),
        "the promise": _words(_PROMISES[language], whole=False),
        "the quotation": lambda text: iter(_QUOTED.findall(text)),
        "the name": _names,
    }


def _words(alternatives: str, *, whole: bool) -> Callable[[str], Iterator[str]]:
    """Finds the words, or what begins with them."""
    pattern = re.compile(rf"\b(?:{alternatives}){chr(92) + 'b' if whole else ''}", re.IGNORECASE)
    return lambda text: iter(pattern.findall(text))


def _numbers(text: str) -> Iterator[str]:
    """Every number with what it counts: `10 %`, `5 days`, `€ 20`."""
    for match in _NUMBER.finditer(text):
        number = match["number"].replace(",", ".")
        after = (match["after"] or "").casefold()
        yield f"{match['before'] or ''}{number} {'%' if after in _PERCENT else after}".strip()


def _names(text: str) -> Iterator[str]:
    yield from (one for one in _NAME.findall(text) if one != "I")
    yield from _CAPITALS.findall(text)
