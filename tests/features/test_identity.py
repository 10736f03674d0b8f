"""Who becomes whom: against planted persons, a plain union-find, and the map's own explanations."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_shop import AS_OF, SHOP, ZONE, frame, run

from lifecycle_assets.contracts import registry
from lifecycle_assets.days import end_of
from lifecycle_assets.features.identity import IdentityMap, identity_map, resolved
from lifecycle_assets.features.identity_ids import IdentityIds, identity_ids
from lifecycle_assets.inputs.contracts import Customers, Identities, WebEvents
from lifecycle_assets.settings import Shop, parse

Row = dict[str, Any]
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
END = end_of(AS_OF, ZONE)


def shop(**identity: Any) -> Shop:
    own = [f"customer.identity.{name}={value}" for name, value in identity.items()]
    return parse(Shop, f"name: x\ntimezone: {ZONE}\ncurrency: EUR\ncountry: ES\ninput: /x\n", "x", own)


def limits(n: int) -> str:
    return f"{{email: {n}, phone: {n}, anonymous_id: {n}}}"


def mapped(
    customers: list[Row], stated: list[Row] | None = None, events: list[Row] | None = None, **identity: Any
) -> pl.DataFrame:
    """The map of these rows of raw.customers, raw.identities and raw.web_events, in the order given."""
    accounts, links = frame(Customers, customers), frame(Identities, stated or [])
    if events is None:
        # What the statement makes of the two tables, without a database for each of many examples.
        ids = pl.concat([accounts.select("customer_id"), links.select("customer_id")]).unique()
        ids = ids.select(pl.lit("customer_id").alias("id_type"), "customer_id", id="customer_id")
    else:
        web = [{"event_id": f"E{n}", "event_type": "view", **row} for n, row in enumerate(events)]
        tables = {Customers.name: accounts, Identities.name: links, WebEvents.name: frame(WebEvents, web)}
        ids = run(identity_ids(SHOP, AS_OF, ZONE), IdentityIds, tables)
    made = identity_map(
        ids.lazy(), accounts.lazy(), links.lazy(), shop_id=SHOP, as_of=AS_OF, shop=shop(**identity)
    )  # fmt: skip
    IdentityMap.require(made)
    return made


def became(made: pl.DataFrame) -> dict[str, str | None]:
    return dict(made.select("id", "customer_id").iter_rows())


def row_of(made: pl.DataFrame, name: str) -> Row:
    return made.row(by_predicate=pl.col("id") == name, named=True)


def c(name: str, **values: Any) -> Row:
    return {"email": None, "phone": None, "country": None, "created_at": None, **values, "customer_id": name}


def i(name: str, **values: Any) -> Row:
    return {"anonymous_id": None, "email": None, "phone": None, **values, "customer_id": name}


def test_every_table_that_names_customers_is_read() -> None:
    naming = {
        name for name, contract in registry().items()
        if name.startswith("raw.") and "customer_id" in contract.columns
    }  # fmt: skip
    assert set(identity_ids(SHOP, AS_OF, ZONE).tables()) == naming


def test_planted_persons_are_found_and_nobody_else() -> None:
    rng = np.random.default_rng(7)
    n_persons = 600
    rows, truth, tokens = [], {}, {}
    for person in range(n_persons):
        number = f"6{person * 2 + 10_000_000:08d}"  # even; a typo makes it odd, so it hits nobody's
        for account in range(int(rng.integers(1, 4))):
            name = f"C{rng.integers(0, 10**9):09d}-{person}-{account}"
            told = [f"p{person}@Example.com", f" P{person}@example.COM ", None, f"p{person}@exmaple-{account}.com"]
            email = told[rng.choice(4, p=[0.45, 0.25, 0.2, 0.1])]
            said = [
                number,
                f"+34 {number[:3]} {number[3:]}",
                f"0034{number}",
                None,
                f"{number[:-1]}{int(number[-1]) + 1}",
            ]
            kind = int(rng.choice(5, p=[0.3, 0.2, 0.1, 0.35, 0.05]))
            phone = said[kind] if person % 50 else "912345678"  # an office's number: far more than five customers
            rows.append(
                c(name, email=email, phone=phone, created_at=LONG_AGO + dt.timedelta(days=int(rng.integers(900))))
            )
            truth[name] = person
            tokens[name] = {("m", person)} if email in told[:2] else set()
            # The same typo twice is the same number.
            wrong = kind == 4
            tokens[name] |= {("p", person, wrong)} if phone and person % 50 else set()
    made = mapped(rows)
    found = became(made)
    assert _pairs(found) == _pairs(_union_find(tokens))
    assert _pairs(found) <= _pairs(truth), "precision 1.0"
    recall = len(_pairs(found)) / len(_pairs(truth))
    assert 0.5 < recall < 0.8  # what typos and missing addresses leave: nobody is guessed
    office = made.filter(pl.col("refused").is_not_null())
    assert office.height > 15 and office["refused"].unique().str.starts_with("telephone number shared by").all()
    assert "912345678" not in str(made.rows()) and "@" not in str(made.rows())


def _pairs(groups: dict[str, Any]) -> set[tuple[str, str]]:
    members: dict[Any, list[str]] = {}
    for name, group in groups.items():
        members.setdefault(group, []).append(name)
    return {(a, b) for names in members.values() for a in names for b in names if a < b}


def _union_find(tokens: dict[str, set[Any]]) -> dict[str, str]:
    parent = {name: name for name in tokens}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    first: dict[Any, str] = {}
    for name, own in tokens.items():
        for token in own:
            parent[find(name)] = find(first.setdefault(token, name))
    return {name: find(name) for name in tokens}


SMALL = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from("vep"), st.integers(0, 5), st.booleans()), max_size=16, unique=True
)


def _world(links: list[tuple[int, str, int, bool]]) -> tuple[list[Row], list[Row], dict[str, set[Any]]]:
    """Links as rows of raw.identities; the first e-mail and phone of a customer may stand in raw.customers instead."""
    people = {number: c(f"C{number}") for number in range(10)}
    stated, tokens = [], {f"C{number}": set() for number in people}
    written = {"v": lambda n: f"v{n}", "e": lambda n: f"m{n}@x.org", "p": lambda n: f"61234567{n}"}
    column = {"v": "anonymous_id", "e": "email", "p": "phone"}
    for number, kind, address, own in links:
        value = written[kind](address)
        if own and kind != "v" and people[number][column[kind]] is None:
            people[number][column[kind]] = value
        else:
            stated.append(i(f"C{number}", **{column[kind]: value}))
        tokens[f"C{number}"].add((kind, address))
    return list(people.values()), stated, tokens


@settings(max_examples=60, deadline=None)
@given(SMALL, st.randoms(use_true_random=False), st.integers(1, 4))
def test_profiles_are_the_components_whatever_the_order_of_rows(links: Any, random: Any, limit: int) -> None:
    customers, stated, tokens = _world(links)
    made = mapped(customers, stated, hub_limits=limits(limit))
    customers_only = became(made.filter(pl.col("id_type") == "customer_id"))
    owners = [token for own in tokens.values() for token in own]
    kept = {name: {token for token in own if owners.count(token) <= limit} for name, own in tokens.items()}
    assert _pairs(customers_only) == _pairs(_union_find(kept))
    random.shuffle(customers)
    random.shuffle(stated)
    assert mapped(customers, stated, hub_limits=limits(limit)).equals(made)


@settings(max_examples=40, deadline=None)
@given(SMALL, st.integers(0, 9), st.integers(0, 9))
def test_one_more_link_merges_two_profiles_and_taking_it_away_undoes_it(links: Any, a: int, b: int) -> None:
    customers, stated, _ = _world(links)
    before = mapped(customers, stated, hub_limits=limits(10))
    link = [i(f"C{a}", email="link@x.org"), i(f"C{b}", email="link@x.org")]
    after = mapped(customers, [*stated, *link], hub_limits=limits(10))
    old, new = became(before), became(after)
    joined = {old[f"C{a}"], old[f"C{b}"]}
    concerned = {name for name, profile in old.items() if profile in joined}
    assert {new[name] for name in concerned} == {min(joined)}
    rest = ~pl.col("id").is_in(list(concerned))
    assert after.filter(rest).equals(before.filter(rest))
    assert mapped(customers, stated, hub_limits=limits(10)).equals(before)


@settings(max_examples=40, deadline=None)
@given(SMALL)
def test_the_links_told_are_a_tree_of_links_that_are_there(links: Any) -> None:
    customers, stated, tokens = _world(links)
    made = mapped(customers, stated)
    rows = {(row["id_type"], row["id"]): row for row in made.to_dicts()}
    for row in rows.values():
        steps, at = 0, row
        while at["link"] not in (None, "self"):
            at, steps = rows["customer_id", at["linked_to"]], steps + 1
            assert steps <= len(rows)
        assert at["id"] == at["customer_id"] == row["customer_id"] or row["customer_id"] is None
        if row["id_type"] == "customer_id" and row["link"] != "self":
            shared = tokens[row["id"]] & tokens[row["linked_to"]]
            assert shared
            if row["link"] != "identities":
                assert row["link"][0] in {kind for kind, _ in shared}


def test_a_telephone_of_a_thousand_merges_nobody_and_says_so() -> None:
    made = mapped([c(f"C{n:04d}", phone="612345678", email=f"m{n // 2}@x.org") for n in range(1000)])
    assert made.filter(pl.col("link") == "phone").is_empty()
    assert (made["n_ids"] == 2).all(), "what else links still links"
    assert set(made["refused"]) == {"telephone number shared by 1000 customers, limit 5"}
    assert row_of(made, "C0001")["reason"] == (
        "Same e-mail address as C0000; not linked: telephone number shared by 1000 customers, limit 5."
    )


@pytest.mark.parametrize(("checkouts", "profiles"), [(7, 1), (50, 1), (51, 51), (60, 60)])
def test_a_guest_who_gets_a_new_id_at_every_checkout_is_one_person(checkouts: int, profiles: int) -> None:
    made = mapped([c(f"G{n:02d}", email="ana@x.org") for n in range(checkouts)])
    assert made["customer_id"].n_unique() == profiles
    assert set(made["refused"]) == {
        None if profiles == 1 else f"e-mail address shared by {checkouts} customers, limit 50"
    }


def test_a_big_guest_keeps_the_accounts_that_other_links_add() -> None:
    rows = [c(f"G{n:02d}", email="ana@x.org" if n < 50 else "ana@work.org") for n in range(90)]
    made = mapped(rows, [i("G00", email="ana@work.org")])
    assert set(made["n_ids"]) == {90}


@pytest.mark.parametrize("address", ["NoReply@shop.com", "none@none.com", "guest@x.org", " test@test.com"])
def test_a_placeholder_address_links_nobody_and_says_so(address: str) -> None:
    rows = [c("A", email=address), c("B", email=address), c("C", email=f"my{address.strip()}")]
    made = mapped([*rows, c("D", email=rows[2]["email"])])
    assert became(made) == {"A": "A", "B": "B", "C": "C", "D": "C"}
    assert row_of(made, "B")["refused"] == "e-mail address shared by 2 customers, a placeholder"
    assert mapped([rows[0]], [i("A", email=address)])["refused"].to_list() == [None], "there is nobody to link"


def test_the_shop_says_what_is_a_placeholder() -> None:
    emails = ["till@x.org", "till@y.org", "guest@x.org"] * 2
    rows = [c(name, email=email) for name, email in zip("ABCDEF", emails, strict=True)]
    found = became(mapped(rows, placeholders="[Till@x.org]"))
    assert found == {"A": "A", "B": "B", "C": "C", "D": "D", "E": "B", "F": "C"}
    assert found | {"D": "A"} == became(mapped(rows, placeholders="[]"))


def test_a_chain_of_small_links_loses_its_weakest_links() -> None:
    # 30 customers in a row; every third link is a telephone number, the others e-mail addresses.
    rows = [c(f"C{n:02d}") for n in range(31)]
    stated = []
    for n in range(30):
        column, value = ("phone", f"6123456{n:02d}") if n % 3 == 0 else ("email", f"m{n}@x.org")
        for end in (n, n + 1):
            if rows[end][column] is None:
                rows[end][column] = value
            else:
                stated.append(i(f"C{end:02d}", **{column: value}))
    made = mapped(rows, stated, max_merged=20)
    assert made["n_ids"].max() == 3, "what telephone numbers held together falls apart there alone"
    assert "chain of 31 customers, limit 20: not linked by phone" in set(made["refused"])
    assert set(mapped(rows, stated)["n_ids"]) == {31}
    assert set(mapped(rows, stated, max_merged=1)["n_ids"]) == {1}


def test_the_oldest_account_gives_the_profile_its_name() -> None:
    young, old = LONG_AGO + dt.timedelta(days=9), LONG_AGO
    rows = [c("A", email="x@x.org"), c("B", email="x@x.org", created_at=young), c("C", email="x@x.org", created_at=old)]
    assert set(became(mapped(rows)).values()) == {"C"}
    assert set(became(mapped([c("B", email="x@x.org"), c("A", email="x@x.org")])).values()) == {"A"}


def test_an_account_made_after_the_night_links_nothing() -> None:
    def with_date(at: dt.datetime) -> dict[str, str | None]:
        return became(
            mapped([c("A", email="x@x.org"), c("B", email="x@x.org", created_at=at)], [i("B", email="y@x.org")])
        )

    assert with_date(END - dt.timedelta(microseconds=1)) == {"A": "B", "B": "B"}
    assert with_date(END) == {"A": "A", "B": "B"}


def test_kinds_of_links_can_be_switched_off() -> None:
    rows = [c("A", email="x@x.org", phone="612345678"), c("B", email="x@x.org"), c("C", phone="612345678"), c("D")]
    stated = [i("D", email="x@x.org")]
    assert set(became(mapped(rows, stated)).values()) == {"A"}
    assert became(mapped(rows, stated, link_by="[phone]")) == {"A": "A", "B": "B", "C": "A", "D": "D"}
    assert became(mapped(rows, stated, link_by="[email]")) == {"A": "A", "B": "A", "C": "C", "D": "D"}
    assert became(mapped(rows, stated, link_by="[]")) == {name: name for name in "ABCD"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (c("A", email=" Ana.Diaz@Example.ORG"), c("B", email="ana.diaz@example.org "), True),
        (c("A", email="ana.diaz@gmail.com"), c("B", email="anadiaz@gmail.com"), False),
        (c("A", email="ana+shop@gmail.com"), c("B", email="ana@gmail.com"), False),
        (c("A", email="n/a"), c("B", email="n/a"), False),
        (c("A", email="none@none"), c("B", email="none@none"), False),
        (c("A", email=""), c("B", email=""), False),
        (c("A", phone="612 345 678"), c("B", phone="+34 612-34-56-78"), True),
        (c("A", phone="0034612345678"), c("B", phone="(612) 345678", country="ES"), True),
        (c("A", phone="+34 112 345 678"), c("B", phone="+34 112 345 678"), False),  # no such number
        (c("A", phone="020 7031 3000", country="gb"), c("B", phone="+44 (0)20 7031 3000"), True),
        (c("A", phone="612345678", country="FR"), c("B", phone="612345678", country="ES"), False),
        (c("A", phone="612345678", country="Spain"), c("B", phone="612345678"), True),
        (c("A", phone="000000000"), c("B", phone="000000000"), False),
        (c("A", phone="912345678 ext. 7"), c("B", phone="912345678 ext. 7"), False),
    ],
)
def test_when_two_addresses_are_the_same(one: Row, other: Row, same: bool) -> None:
    assert (len(set(became(mapped([one, other])).values())) == 1) is same


def test_visits_are_their_profiles_and_shared_devices_merge_nobody() -> None:
    rows = [c("A", email="x@x.org"), c("B", email="x@x.org"), c("C"), c("D"), c("E")]
    stated = [i("C", anonymous_id="told"), *(i(name, anonymous_id="till") for name in "ABCDE")]
    seen = {"own": "A", "both": "AB", "shared": "AC", "told": "D"}
    events = [{"customer_id": name, "anonymous_id": visitor} for visitor, names in seen.items() for name in names]
    events.append({"customer_id": "C", "anonymous_id": "later", "occurred_at": END})
    made = mapped(rows, stated, [{"occurred_at": LONG_AGO, **event} for event in events], hub_limits=limits(4))
    names = became(made)
    assert {name: names[name] for name in "ABCDE"} == {"A": "A", "B": "A", "C": "C", "D": "D", "E": "E"}
    visitors = {name: names[name] for name in names if len(name) > 1}
    assert visitors == {"own": "A", "both": "A", "shared": None, "told": "C", "till": None}
    assert row_of(made, "shared")["reason"] == "Of nobody; not linked: 2 profiles signed in under it."
    assert row_of(made, "till")["refused"] == "visitor id shared by 5 customers, limit 4"
    assert [row_of(made, name)["link"] for name in ("own", "told")] == ["anonymous_id", "identities"]
    assert row_of(made, "A")["n_ids"] == 4


def test_without_addresses_everyone_stands_alone() -> None:
    made = mapped([c("B"), c("A")])
    assert made.rows() == [
        (SHOP, AS_OF, "customer_id", name, name, 1, "self", None, None, "Stands alone.") for name in "AB"
    ]
    assert mapped([]).is_empty()


def test_ids_are_resolved_and_unknown_ones_stay() -> None:
    made = mapped([c("A", email="x@x.org"), c("B", email="x@x.org")])
    rows = pl.LazyFrame({"customer_id": ["A", "B", "?", None], "n": [1, 2, 3, 4]})
    assert resolved(rows, made.lazy()).collect().sort("n")["customer_id"].to_list() == ["A", "A", "?", None]


@pytest.mark.slow
def test_two_hundred_thousand_customers_at_once() -> None:
    n, again = 160_000, 40_000
    who = np.concatenate([np.arange(n), np.random.default_rng(3).choice(n, again, replace=False)])
    customers = pl.DataFrame({"person": who}).with_row_index("number").select(
        pl.format("C{}", pl.col("number").cast(pl.String).str.zfill(7)).alias("customer_id"),
        pl.format("p{}@x.org", "person").alias("email"),
        pl.lit(None, dtype=pl.String).alias("phone"), pl.lit(None, dtype=pl.String).alias("country"),
        pl.lit(LONG_AGO).alias("created_at"),
    )  # fmt: skip
    ids = customers.select(pl.lit("customer_id").alias("id_type"), "customer_id", id="customer_id")
    made = identity_map(
        ids.lazy(), customers.lazy(), Identities.empty().lazy(), shop_id=SHOP, as_of=AS_OF, shop=shop()
    )  # fmt: skip
    assert made["customer_id"].n_unique() == n
    assert (made["customer_id"].str.slice(1).cast(pl.Int64) == pl.Series(who)).all()
