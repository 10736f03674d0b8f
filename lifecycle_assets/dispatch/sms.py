"""How many parts does a text message have?

Method: 3GPP TS 23.038. A text that the GSM 7-bit alphabet can write has 160 septets in a single part and 153 in each of
several; characters of its extension table (a euro sign, brackets) take two, which stay in one part. Any other text is sent
as UCS-2: 70 units of 16 bits, 67 in each of several; a character beyond the basic plane (an emoji) takes two.
"""

import re
import unicodedata

import polars as pl

GSM_7, UCS_2 = "GSM-7", "UCS-2"
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"
SINGLE = {GSM_7: 160, UCS_2: 70}
JOINED = {GSM_7: 153, UCS_2: 67}

# Signs that a typewriter writes otherwise, and nothing is lost.
TYPOGRAPHIC = {
    **dict.fromkeys("‘’‚‛′´`", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\t", " "),
    **dict.fromkeys("\u200b\u2060\ufeff\u00ad", ""),
    "…": "...",
    "•": "*",
}
# Latin letters that the alphabet lacks, without their accent: í -> i. For names; in words an accent may carry meaning.
PLAIN_LETTERS = {
    letter: plain
    for letter in map(chr, [*range(0xC0, 0x250), *range(0x1E00, 0x1F00)])
    if letter not in BASIC and (plain := unicodedata.normalize("NFD", letter)[0]).isascii() and plain != letter
}

_NOT_GSM = f"[^{re.escape(BASIC + EXTENSION)}]"
_EXTENSION = f"([{re.escape(EXTENSION)}])"
_ASTRAL = r"[\x{10000}-\x{10FFFF}]"
_PAIR = "\x1b"  # begins what takes two units


def typewritten(text: str) -> str:
    """The text without typographic quotes, dashes and spaces."""
    return text.translate(str.maketrans(TYPOGRAPHIC))


def is_gsm(text: str) -> bool:
    """Whether the GSM alphabet can write all of the text."""
    return not set(text) - set(BASIC + EXTENSION)


def encoding_and_parts(texts: pl.Series) -> pl.DataFrame:
    """`encoding` (GSM-7 or UCS-2) and `parts` of each text, in the same order; an empty text has one part."""
    text = pl.col("text")
    units = (
        texts.alias("text")
        .to_frame()
        .with_columns(encoding=pl.when(text.str.contains(_NOT_GSM)).then(pl.lit(UCS_2)).otherwise(pl.lit(GSM_7)))
        .with_columns(
            left=pl.when(encoding=GSM_7)
            .then(text.str.replace_all(_EXTENSION, f"{_PAIR}$1"))
            .otherwise(text.str.replace_all(_ASTRAL, f"{_PAIR}x"))
        )
    )
    room = pl.when(pl.col("left").str.len_chars() <= pl.col("encoding").replace_strict(SINGLE))
    units = units.with_columns(parts=room.then(1).otherwise(0))
    several = units["parts"] == 0
    while several.any():
        full = pl.col("encoding").replace_strict(JOINED)
        broken_pair = pl.col("left").str.slice(full - 1, 1) == _PAIR
        units = units.with_columns(
            parts=pl.col("parts") + several,
            left=pl.when(several).then(pl.col("left").str.slice(full - broken_pair.cast(pl.Int64))).otherwise("left"),
        )
        several &= units["left"] != ""
    return units.select("encoding", pl.col("parts").cast(pl.Int64))
