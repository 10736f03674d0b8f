"""What is a person's in the tables of a home, and what is left of a table without them?

A person is a customer id with all accounts of the same profile (features.identity_map). Theirs are the visitor ids, visits,
addresses and messages that stand beside one of these ids in any row, unless one of them stands beside another customer's id
as well: a till's telephone number or a shared device is not one person's. Telephone numbers are theirs as written and in
E.164 (see features.addresses), the form in which messages go out.

A row is theirs when it bears one of their customer ids, or bears none and one of their other ids or addresses. Such rows
go, with two exceptions, both as the next night would read them: order lines become a guest's, so that what the shop sold
stays whole, and rows in quarantine keep their place without their content. Where another customer's row mentions them, the
mention is blotted out. Totals, such as the stored results of experiments, name nobody and stay.
"""

import hashlib
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import dataframely as dy
import polars as pl

from lifecycle_assets.addresses import TAIL_DIGITS, e164
from lifecycle_assets.contracts import as_of_column, count, key, shop_key, table, text, timestamp
from lifecycle_assets.dispatch.audiences import IN_IT
from lifecycle_assets.features.identity_ids import ID_TYPES
from lifecycle_assets.inputs.quarantine import ERASED, ERASED_MESSAGE
from lifecycle_assets.inputs.tombstones import FORGOTTEN, RENAMED, Tombstones, plain

CUSTOMER, VISITOR = ID_TYPES
NAMES = ("customer_id", "id", "linked_to", "label")  # columns that may hold a customer id
VISITORS = (VISITOR, "session_id")
NUMBERS = ("phone", "address")
ADDRESSES = ("email", *NUMBERS)
KEYS = (
    "idempotency_key", "message_id", "decision_id", "order_id", "line_id", "event_id", "response_id", "ticket_id", "payment_id",
    "subscription_id", "email_sha256", "phone_sha256", "first_name_sha256", "last_name_sha256",
)  # fmt: skip
QUARANTINE = frozenset({"table", "row_number", "rule", "row"})
ORDER_LINES = frozenset({"line_no", *FORGOTTEN, *RENAMED})
BLOT = "[erased]"
TELLING = 6  # letters from which on a text with a letter or a sign in it is no chance find


@table("dispatch.erasures", append_only=True)
class Erasures(dy.Schema):
    """The proof that people were erased: what was done and when, and nothing of who they were."""

    shop_id = shop_key()
    as_of = as_of_column()
    erasure_id = key("A random id.")
    people = count("People erased, accounts of one profile as one.", "people", minimum=1)
    requested_at = timestamp("When the first of them asked, where the shop recorded it.", nullable=True)
    begun_at = timestamp("When the work began.")
    done_at = timestamp("When nothing of them was found in any file any more.")
    removals_kept_until = timestamp(
        "Until when removals that advertising tools may still have to be told keep the hashes of their addresses; null: none.",
        nullable=True,
    )
    files_rewritten = count("Files that held something of them.", "files")
    rows_removed = text(
        "Rows taken out or blotted by table, over all its nights and versions, as JSON.", nullable=False
    )
    actor = text("Who had it done: the nightly run or a person.", nullable=False)


@dataclass(frozen=True)
class Person:
    """Everything that a person (or several who are erased together) goes by, as it is written in the tables."""

    ids: frozenset[str]
    visitors: frozenset[str]
    emails: frozenset[str]
    phones: frozenset[str]
    keys: frozenset[str]

    @property
    def known(self) -> dict[str, set[str]]:
        """What a tombstone is made of, by kind."""
        return {
            "customer": set(self.ids),
            "visitor": set(self.visitors),
            "email": set(self.emails),
            "phone": set(self.phones),
            "email_sha256": {hashlib.sha256(_plain("email", email).encode()).hexdigest() for email in self.emails},
        }

    @cached_property
    def exact(self) -> frozenset[str]:
        """Values, in lower case, that are the person's wherever one of them stands alone: addresses, keys of messages, and
        the hashes of addresses and ids that advertising platforms take."""
        emails = {_plain("email", email) for email in self.emails}
        digits = {_plain("phone", phone) for phone in self.phones}
        hashed = emails | digits | {f"+{number}" for number in digits} | self.ids
        hashes = {
            function(value.encode()).hexdigest()
            for value in hashed
            for function in (hashlib.sha256, hashlib.md5, hashlib.sha1)
        }
        written = {*self.emails, *self.phones, *filter(_is_telling, self.keys)}
        return frozenset({*(value.lower() for value in written), *emails, *digits, *(f"+{d}" for d in digits), *hashes})

    @cached_property
    def marks(self) -> list[str]:
        """Texts that name the person also as a part of a longer text, in each usual spelling, the longest first."""
        telling = filter(_is_telling, self.exact | self.ids | self.visitors)
        spelt = {spelling for value in telling for spelling in _spellings(value)}
        return sorted(spelt, key=lambda mark: (-len(mark), mark))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds a mark that is not itself part of a longer word, address or number."""
        # In JSON a line break before a word is written with a letter.
        before = r"(?:(?<![\w.+@-])|(?<=\\[nrt]))"
        after = r"(?![\w@-]|[.+]\w)"
        anything = "|".join(map(re.escape, self.marks)) or r"(?!)"
        return re.compile(f"{before}(?:{anything}){after}", re.IGNORECASE)

    def blotted(self, text: str) -> str:
        """The text with every mark of the person blotted out."""
        return self.pattern.sub(BLOT, text)


def profile(identity_map: pl.LazyFrame, customer: str) -> tuple[set[str], set[str]]:
    """The customer ids and the visitor ids of the profile that one of the customer ids belongs to."""
    own = identity_map.filter((pl.col("id_type") == CUSTOMER) & (pl.col("id") == customer)).select("customer_id")
    rows = identity_map.join(own, on="customer_id", how="semi").select("id_type", "id").collect()
    return {customer, *rows.filter(id_type=CUSTOMER)["id"]}, {*rows.filter(id_type=VISITOR)["id"]}


def known(tables: Sequence[pl.LazyFrame], customers: Iterable[str]) -> list[str]:
    """Those of the customers whom any of the tables (with a customer_id) names."""
    asked = pl.col("customer_id").is_in(sorted(customers))
    found = {name for table in tables for name in table.filter(asked).select("customer_id").collect().to_series()}
    return sorted(found)


def lists_holding(audiences: pl.LazyFrame, ids: Iterable[str]) -> list[str]:
    """The lists at advertising tools that hold the person by the latest night, as `tool/list (audience)`."""
    held = audiences.filter(pl.col("customer_id").is_in(sorted(ids)), pl.col("state").is_in(IN_IT))
    named = held.select(pl.format("{}/{} ({})", "destination", "list_id", "audience").alias("name").unique())
    return sorted(named.collect().to_series())


def person(tables: Sequence[pl.LazyFrame], ids: Iterable[str], visitors: Iterable[str], home: str) -> Person:
    """The person of these customer ids and visitor ids, from every table with a customer_id. Telephone numbers without a
    country are read as dialled in `home` (ISO 3166-1 alpha-2)."""
    own = sorted(ids)
    theirs: dict[str, set[str]] = {"visitors": set(visitors), "addresses": set(), "keys": set()}
    groups = dict(zip(("visitors", "addresses", "keys"), (VISITORS, ADDRESSES, KEYS), strict=True))
    is_own = pl.col("customer_id").is_in(own)
    named = [(frame, set(frame.collect_schema())) for frame in tables]
    for frame, columns in named:
        rows = frame.filter(is_own).select(pl.col("customer_id", *columns & {*VISITORS, *ADDRESSES, *KEYS})).collect()
        for group, names in groups.items():
            theirs[group].update(value for name in names if name in rows.columns for value in rows[name].drop_nulls())
    for frame, columns in named:
        others = frame.filter(~is_own)
        for group, names in groups.items():
            told = sorted({value.lower() for value in theirs[group]})
            for name in columns.intersection(names) if told else ():
                value = pl.col(name).str.to_lowercase()
                shared = set(others.filter(value.is_in(told)).select(value.unique()).collect().to_series())
                theirs[group] = {value for value in theirs[group] if value.lower() not in shared}
    own_numbers = pl.concat([_numbers(frame.filter(is_own), home) for frame in tables])
    tails = own_numbers["e164"].str.tail(TAIL_DIGITS).unique().to_list()
    of_others = [_numbers(frame.filter(~is_own), home, tails) for frame in tables if tails]
    shared_numbers = {number for numbers in of_others for number in numbers["e164"]}
    is_shared = pl.col("e164").is_in(list(shared_numbers))
    addresses = theirs["addresses"] | set(own_numbers["e164"])
    addresses -= {value for row in own_numbers.filter(is_shared).rows() for value in row}
    return Person(
        ids=frozenset(own),
        visitors=frozenset(theirs["visitors"]),
        emails=frozenset(value for value in addresses if "@" in value),
        phones=frozenset(value for value in addresses if "@" not in value and len(_plain("phone", value)) >= TELLING),
        keys=frozenset(theirs["keys"]),
    )


def _numbers(rows: pl.LazyFrame, home: str, tails: Sequence[str] | None = None) -> pl.DataFrame:
    """address, e164 of the telephone numbers in a table, or of those that end in `tails`."""
    columns = set(rows.collect_schema())
    country = pl.col("country") if "country" in columns else pl.lit(None)
    parts = [
        rows.select(address=pl.col(name).cast(pl.String), country=country.cast(pl.String))
        for name in NUMBERS
        if name in columns
    ]
    if not parts:
        return pl.DataFrame(schema={"address": pl.String, "e164": pl.String})
    numbers = pl.concat(parts).filter(~pl.col("address").str.contains("@", literal=True))
    if tails is not None:
        numbers = numbers.filter(pl.col("address").str.replace_all(r"\D", "").str.tail(TAIL_DIGITS).is_in(tails))
    written = numbers.unique().collect()
    return written.select("address", e164=e164(written, home)).drop_nulls()


def without(rows: pl.LazyFrame, someone: Person, tombstones: Tombstones) -> tuple[pl.LazyFrame, int]:
    """A table without the person, and how many of its rows that concerns; 0 for a table that holds nothing of them."""
    theirs = _is_theirs(rows, someone)
    mentions = _mentions(rows, someone)
    mentioned = [pl.col(name).is_in(list(values)) for name, values in mentions.items()]
    concerned = rows.select(pl.any_horizontal(theirs, *mentioned).sum()).collect().item()
    columns = set(rows.collect_schema())
    if columns >= QUARANTINE:
        emptied = {"column": None, "rule": ERASED, "message": ERASED_MESSAGE, "row": "{}"}
        left = rows.with_columns(
            pl.when(theirs).then(pl.lit(value, dtype=pl.String)).otherwise(name).alias(name)
            for name, value in emptied.items()
        )
    elif columns >= ORDER_LINES:
        left = _as_guests(rows, theirs, tombstones)
    else:
        left = rows.filter(~theirs)
    return left.with_columns(pl.col(name).replace(values) for name, values in mentions.items()), concerned


def _as_guests(lines: pl.LazyFrame, theirs: pl.Expr, tombstones: Tombstones) -> pl.LazyFrame:
    """raw.order_lines with the lines of `theirs` turned into a guest's."""
    own = lines.filter(theirs).select(*FORGOTTEN, *RENAMED).unique().collect()
    guests = tombstones.as_guests(own, pl.repeat(value=True, n=own.height, dtype=pl.Boolean, eager=True))
    renamed = {name: dict(zip(own[name], guests[name], strict=True)) for name in RENAMED}
    return lines.with_columns(
        *(pl.when(~theirs).then(name).alias(name) for name in FORGOTTEN),
        *(
            pl.when(theirs).then(pl.col(name).replace(values)).otherwise(name).alias(name)
            for name, values in renamed.items()
        ),
    )


def _is_theirs(rows: pl.LazyFrame, someone: Person) -> pl.Expr:
    """Whether a row is the person's; never null."""
    columns = set(_texts(rows))
    if set(rows.collect_schema()) >= QUARANTINE:
        quoted = "|".join(re.escape(json.dumps(value, ensure_ascii=False)) for value in sorted(someone.ids))
        told = pl.col("row").is_in(list(_blotted(rows, "row", someone))) | pl.col("row").str.contains(quoted)
        return told.fill_null(value=False)
    anyone = someone.ids | someone.visitors
    bears = {
        **dict.fromkeys(columns & {"id", "linked_to"} if "id_type" in columns else (), anyone),
        **dict.fromkeys(columns & {"unit"} if "level" in columns else (), someone.ids),
        **dict.fromkeys(columns & {*VISITORS}, someone.visitors),
        **dict.fromkeys(columns & {*ADDRESSES, "email_sha256"}, someone.exact),
    }
    other = pl.any_horizontal(pl.lit(value=False), *(_plainly(name).is_in(sorted(v)) for name, v in bears.items()))
    if "customer_id" not in columns:
        return other.fill_null(value=False)
    own = pl.col("customer_id").is_in(sorted(someone.ids))
    return (own | (pl.col("customer_id").is_null() & other)).fill_null(value=False)


def _plainly(name: str) -> pl.Expr:
    """A column's values as those that they are held against."""
    trimmed = pl.col(name).str.strip_chars()
    return trimmed.str.to_lowercase() if name in (*ADDRESSES, "email_sha256") else trimmed


def _mentions(rows: pl.LazyFrame, someone: Person) -> dict[str, dict[str, str]]:
    """Column -> the values in which the person is mentioned, outside rows of their own, and these values blotted."""
    others = rows.filter(~_is_theirs(rows, someone))
    found = {name: _blotted(others, name, someone) for name in _texts(rows)}
    for name in found.keys() & {*NAMES}:
        found[name] |= dict.fromkeys(someone.ids, BLOT)
    present = others.select(
        pl.col(name).is_in(list(values)).any() for name, values in found.items() if values
    ).collect()
    return {name: found[name] for name in present.columns if present[name].item()}


def _blotted(rows: pl.LazyFrame, name: str, someone: Person) -> dict[str, str]:
    """The column's values that bear a mark of the person, and what they are with it blotted out."""
    if not someone.marks:
        return {}
    likely = pl.col(name).str.contains_any(someone.marks, ascii_case_insensitive=True)
    values = rows.filter(likely).select(pl.col(name).unique()).collect().to_series()
    return {value: blotted for value in values if (blotted := someone.blotted(value)) != value}


def _texts(rows: pl.LazyFrame) -> list[str]:
    return [name for name, dtype in rows.collect_schema().items() if dtype == pl.String and name != "shop_id"]


def _is_telling(value: str) -> bool:
    return len(value) >= TELLING and not value.isdecimal()


def _spellings(value: str) -> set[str]:
    """How a text is written as it is, in JSON, in HTML and in a web address."""
    in_json = (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])
    return {value, *in_json, html.escape(value), urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)}


def _plain(kind: str, value: str) -> str:
    return pl.DataFrame({"value": [value]}).select(plain(kind)).item()
