"""Audiences over nights: what the tools were told adds up to who belongs to them, whatever happens to people in between."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, SHOP_FILE, World
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.dispatch.audience_exports import AudienceExports, export, is_superseded
from lifecycle_assets.dispatch.audiences import IN_IT, Audiences, audiences, held, told
from lifecycle_assets.dispatch.release import Facts
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.settings import Shop, parse
from resources.delivery import Delivery

DAY = dt.timedelta(days=1)
PERSON = {**LAPSED, "consent_ads": True, "country": "ES"}
OFF = [f"dispatch.audiences.{name}.enabled=false" for name in ("lapsed_valuable", "vip_lookalike", "recent_buyers")]
BACK = """
dispatch:
  audiences:
    back: {who: {field: stage, op: "==", value: lapsed}, min_size: %d%s}
routing: {channels: {ads: {enabled: true}}}
"""


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def world(people: dict[str, dict[str, Any]], *, min_size: int = 1, audience: str = "", **more: Any) -> World:
    made = World(people, **{**more, "settings": [*OFF, *more.get("settings", [])]})
    made.yaml = made.yaml + BACK % (min_size, audience)
    return made


@dataclass
class Nights:
    """Nights of a shop: the slices that they left, and the folders that they put out."""

    home: Path
    slices: dict[dt.date, pl.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.delivery = Delivery(self.home / "dispatch")

    def found(self, night: dt.date, batch_id: str) -> bool:
        return self.delivery.found("lupe", night, batch_id)

    def earlier(self, as_of: dt.date) -> list[tuple[dt.date, pl.LazyFrame]]:
        return [(night, rows.lazy()) for night, rows in sorted(self.slices.items(), reverse=True) if night < as_of]

    def plan(self, world: World) -> pl.DataFrame:
        as_of = world.as_of
        tonight = self.slices.get(as_of, Audiences.empty())
        rows = audiences(
            world.sources(),
            held(self.earlier(as_of), self.found),
            told(tonight.lazy(), as_of, self.found),
            shop_id="lupe",
            as_of=as_of,
            shop=world.shop,
        )
        Audiences.require(rows)
        self.slices[as_of] = rows
        return rows

    def export(self, as_of: dt.date) -> pl.DataFrame:
        later = [(night, rows.lazy()) for night, rows in sorted(self.slices.items(), reverse=True) if night > as_of]
        facts = Facts("lupe", as_of, f"lupe@{as_of}", dt.datetime(2025, 3, 2, tzinfo=dt.UTC), "1", {})
        superseded = is_superseded(later, self.found)
        shown = export(self.slices[as_of].lazy(), facts, self.delivery, superseded=superseded)
        AudienceExports.require(shown)
        return shown

    def night(self, world: World) -> pl.DataFrame:
        self.plan(world)
        return self.export(world.as_of)

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.home)): path.read_bytes() for path in sorted(self.home.rglob("*.json*"))}

    def told(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Every row that Meta was told, in order: the action and the row."""
        for folder in sorted((self.home / "dispatch" / "lupe").glob("*/*")):
            for name in json.loads((folder / "manifest.json").read_text("utf-8"))["apply"]:
                for line in (folder / name).read_text("utf-8").splitlines():
                    body = json.loads(line)["payload"]
                    for row in body["data"]:
                        yield name.removesuffix(".jsonl"), dict(zip(body["schema"], row, strict=True))

    def at_the_tool(self, *, by_person: bool) -> set[tuple[str, ...]]:
        """What Meta holds: rows of id, e-mail and telephone hash. A removal takes the row, or all rows of the person."""
        known: set[tuple[str, ...]] = set()
        for action, row in self.told():
            entry = (row["EXTERN_ID"], row["EMAIL"], row["PHONE"])
            if action == "add":
                known.add(entry)
            else:
                known -= {one for one in known if one == entry or (by_person and one[0] == entry[0])}
        return known


def members(rows: pl.DataFrame) -> set[tuple[str, ...]]:
    inside = rows.filter(pl.col("state").is_in(IN_IT)).select("customer_id", "email_sha256", "phone_sha256")
    return set(inside.fill_null("").rows())


def states(rows: pl.DataFrame) -> dict[str, tuple[str, str | None]]:
    return {row["customer_id"]: (row["state"], row["reason"]) for row in rows.iter_rows(named=True)}


@pytest.fixture
def shop(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def test_a_night_s_files_and_manifest(shop: Nights) -> None:
    people = {
        "ana": {**PERSON, "email": " Ana@Example.com ", "phone": "612 34 56 78", "first_name": "Ana-María"},
        "bea": {**PERSON, "email": "bea@example.com"},
        "new": {**PERSON, "email": "new@example.com", "stage": "new"},
    }
    shown = shop.night(world(people, audience=', list_id: "238"'))
    assert shown.select("audience", "members", "added", "removed", "left_out", "status").rows() == [
        ("back", 2, 2, 0, 0, "exported")
    ]
    (folder,) = (shop.home / "dispatch" / "lupe" / "2025-03-01").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["add.jsonl", "manifest.json"]
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest["batch_id"] == folder.name
    assert manifest["destination"] == {"adapter": "meta", "version": 1, "account_id": "", "list_id": "238"}
    assert manifest["people"] == {"members": 2, "added": 2, "removed": 0}
    assert manifest["files"]["add.jsonl"]["sha256"] == sha((folder / "add.jsonl").read_text("utf-8"))
    rows = [row for _, row in shop.told()]
    assert rows[0] == {
        "EXTERN_ID": "ana",
        "EMAIL": sha("ana@example.com"),
        "PHONE": sha("34612345678"),
        "FN": sha("anamaría"),
        "LN": "",
        "COUNTRY": sha("es"),
    }
    assert [row["EXTERN_ID"] for row in rows] == ["ana", "bea"]
    text = (folder / "add.jsonl").read_text("utf-8").lower()
    assert "example.com" not in text and "612" not in text.replace(sha("34612345678"), "")


def test_the_same_night_again_and_an_unchanged_night_tell_nothing(shop: Nights) -> None:
    people = {name: {**PERSON, "email": f"{name}@example.com"} for name in ("ana", "bea")}
    shop.night(world(people))
    before, rows = shop.files(), shop.slices[AS_OF]
    assert shop.night(world(people, shuffled=True))["status"].to_list() == ["exported"]
    assert shop.slices[AS_OF].equals(rows)
    # Other people the same night: what is out is out.
    shop.night(world({**people, "eva": {**PERSON, "email": "eva@example.com"}}))
    assert shop.slices[AS_OF].equals(rows)
    assert shop.night(world(people, as_of=AS_OF + DAY))["status"].to_list() == ["unchanged"]
    assert shop.files() == before
    assert states(shop.slices[AS_OF + DAY]) == {"ana": ("member", None), "bea": ("member", None)}


def withdrawn(name: str) -> dict[str, Any]:
    late = dt.datetime(2025, 3, 2, 1, tzinfo=dt.UTC)
    return {"customer_id": name, "channel": "ads", "granted": False, "occurred_at": late}


def test_who_withdraws_is_suppressed_erased_or_leaves_is_in_the_next_night_s_remove_file(shop: Nights) -> None:
    names = ("con", "era", "sup", "gon", "sta", "hol")
    people = {name: {**PERSON, "email": f"{name}@example.com"} for name in names}
    shop.night(world(people))
    assert len(shop.at_the_tool(by_person=False)) == 6
    people["sta"] = {**people["sta"], "stage": "active"}
    del people["gon"]
    tomorrow = world(
        people,
        as_of=AS_OF + DAY,
        # After as_of, and known when the night runs.
        consents=[{**withdrawn("con"), "occurred_at": dt.datetime(2025, 3, 3, 1, tzinfo=dt.UTC)}],
        erasures=[{"customer_id": "era", "requested_at": dt.datetime(2025, 3, 3, 1, tzinfo=dt.UTC)}],
        suppressions=[{"email_sha256": sha("sup@example.com"), "channel": "all", "since": None}],
        holdout={"ads": {"hol"}},
    )
    shown = shop.night(tomorrow)
    assert shop.at_the_tool(by_person=False) == set()
    told = [(action, row["EXTERN_ID"]) for action, row in shop.told()]
    assert [name for action, name in told if action == "remove"] == sorted(names)
    assert states(shop.slices[AS_OF + DAY].filter(state="removed")) == {
        "con": ("removed", "no_consent"),
        "era": ("removed", "erased"),
        "gon": ("removed", "not_qualified"),
        "hol": ("removed", "holdout"),
        "sta": ("removed", "not_qualified"),
        "sup": ("removed", "suppressed"),
    }
    assert shown.select("members", "added", "removed").row(0) == (0, 0, 6)
    # The erased person leaves no trace in the night after; the others who are described are counted as left out.
    tomorrow.as_of = AS_OF + 2 * DAY
    tomorrow.consents = [withdrawn("con")]
    assert shop.night(tomorrow)["status"].to_list() == ["unchanged"]
    assert states(shop.slices[AS_OF + 2 * DAY]) == {
        "con": ("left_out", "no_consent"),
        "hol": ("left_out", "holdout"),
        "sup": ("left_out", "suppressed"),
    }


def test_consent_for_ads_must_be_stated(shop: Nights) -> None:
    people = {"ana": PERSON, "bea": {**PERSON, "consent_ads": None}, "eva": {**PERSON, "consent_ads": False}}
    shop.plan(world(people))
    no_consent = ("left_out", "no_consent")
    assert states(shop.slices[AS_OF]) == {"ana": ("added", None), "bea": no_consent, "eva": no_consent}
    shop.plan(world(people, settings=["routing.assume_consent=[ads]"]))
    assert states(shop.slices[AS_OF]) == {"ana": ("added", None), "bea": ("added", None), "eva": no_consent}


def test_people_without_an_address_stay_out_and_a_hash_counts_as_one(shop: Nights) -> None:
    hash_of_eva = sha("eva@example.com")
    people = {
        "ana": {**PERSON, "email": None, "phone": "612345678"},
        "bea": {**PERSON, "email": "n/a", "phone": "12"},
        "eva": {**PERSON, "email": hash_of_eva.upper()},
    }
    shop.night(world(people))
    assert members(shop.slices[AS_OF]) == {("ana", "", sha("34612345678")), ("eva", hash_of_eva, "")}
    assert states(shop.slices[AS_OF])["bea"] == ("left_out", "no_address")


def test_all_addresses_of_all_accounts_are_told(shop: Nights) -> None:
    people = {"ana": {**PERSON, "email": "ana@example.com", "phone": "612345678"}}
    accounts = {"ana2": {"of": "ana", "email": "ANA@work.example", "phone": "+34 612345678"}}
    identities = [{"customer_id": "ana2", "email": "old@example.com", "phone": None}]
    shop.night(world(people, accounts=accounts, identities=identities))
    known = members(shop.slices[AS_OF])
    assert {row[0] for row in known} == {"ana"}
    assert {row[1] for row in known} == {sha("ana@example.com"), sha("ana@work.example"), sha("old@example.com")}
    assert sorted(row[2] for row in known) == ["", "", sha("34612345678")]
    assert shop.at_the_tool(by_person=False) == known


def test_who_loses_an_address_is_taken_out_with_it_and_added_with_what_is_left(shop: Nights) -> None:
    people = {name: {**PERSON, "email": f"{name}@example.com"} for name in ("ana", "bea")}
    more = {"customer_id": "ana", "email": "zzz@example.com"}
    shop.night(world(people, identities=[more]))
    assert len(shop.at_the_tool(by_person=True)) == 3
    shop.night(world(people, as_of=AS_OF + DAY))
    told = [(action, row["EXTERN_ID"], row["EMAIL"]) for action, row in shop.told()][3:]
    assert told == [("remove", "ana", sha("zzz@example.com")), ("add", "ana", sha("ana@example.com"))]
    for by_person in (False, True):
        assert shop.at_the_tool(by_person=by_person) == members(shop.slices[AS_OF + DAY])


def test_below_min_size_nothing_is_exported_and_what_was_is_taken_out(shop: Nights) -> None:
    people = {f"c{number}": {**PERSON, "email": f"c{number}@example.com"} for number in range(5)}
    assert shop.night(world(people, min_size=6))["status"].to_list() == ["unchanged"]
    assert shop.files() == {}
    assert set(states(shop.slices[AS_OF]).values()) == {("left_out", "too_small")}
    shop.night(world(people, min_size=5, as_of=AS_OF + DAY))
    assert len(shop.at_the_tool(by_person=False)) == 5
    del people["c0"]
    shown = shop.night(world(people, min_size=5, as_of=AS_OF + 2 * DAY))
    assert shown.select("members", "removed", "left_out").row(0) == (0, 5, 4)
    assert shop.at_the_tool(by_person=False) == set()


def test_an_audience_of_nobody_tells_nothing(shop: Nights) -> None:
    assert shop.night(world({"ana": {**PERSON, "stage": "new"}})).is_empty()
    assert shop.night(world({})).is_empty()
    assert shop.files() == {}


@pytest.mark.parametrize("change", ["dispatch.audiences.back.enabled=false", "routing.channels.ads.enabled=false"])
def test_an_audience_that_is_switched_off_is_emptied(shop: Nights, change: str) -> None:
    people = {"ana": {**PERSON, "email": "ana@example.com"}}
    shop.night(world(people))
    off = world(people, settings=[change], as_of=AS_OF + DAY)
    shop.night(off)
    assert shop.at_the_tool(by_person=False) == set()
    assert states(shop.slices[AS_OF + DAY]) == {"ana": ("removed", "switched_off")}
    off.as_of += DAY
    assert shop.night(off).is_empty()


def test_an_audience_that_moves_leaves_the_old_list(shop: Nights) -> None:
    people = {"ana": {**PERSON, "email": "ana@example.com"}}
    shop.night(world(people, audience=', list_id: "1"'))
    shown = shop.night(world(people, audience=', list_id: "2", destination: google', as_of=AS_OF + DAY))
    assert shown.select("destination", "list_id", "members", "added", "removed").rows() == [
        ("google", "2", 1, 1, 0),
        ("meta", "1", 0, 0, 1),
    ]
    assert shop.night(world(people, audience=', list_id: "2", destination: google', as_of=AS_OF + 2 * DAY))[
        "status"
    ].to_list() == ["unchanged"]


def test_values_are_told_and_told_again_when_they_change(shop: Nights) -> None:
    people = {name: {**PERSON, "email": f"{name}@example.com"} for name in ("ana", "bea", "eva")}

    def run(ana: float, as_of: dt.date) -> None:
        forecasts = [
            {"customer_id": n, "horizon_months": 12, "expected_value": v} for n, v in (("ana", ana), ("bea", -3.0))
        ]
        known = {"models.clv_forecast": forecasts}
        shop.night(world(people, audience=", value: clv_12m", known=known, as_of=as_of))

    run(12.345, AS_OF)
    run(12.345, AS_OF + DAY)
    run(20.0, AS_OF + 2 * DAY)
    told = [(action, row["EXTERN_ID"], row.get("LOOKALIKE_VALUE")) for action, row in shop.told()]
    assert told[:2] == [("add", "ana", pytest.approx(12.345, abs=0.0051)), ("add", "bea", 0)]
    assert told[2:] == [("add", "ana", 20)]
    assert states(shop.slices[AS_OF])["eva"] == ("left_out", "no_value")


def test_a_batch_that_never_went_out_does_not_count(shop: Nights) -> None:
    people = {name: {**PERSON, "email": f"{name}@example.com"} for name in ("ana", "bea", "eva")}
    shop.night(world({"ana": people["ana"], "bea": people["bea"]}))
    shop.plan(world({"ana": people["ana"]}, as_of=AS_OF + DAY))  # and then the run ends
    shop.night(world({"ana": people["ana"], "eva": people["eva"]}, as_of=AS_OF + 2 * DAY))
    assert {row[0] for row in shop.at_the_tool(by_person=False)} == {"ana", "eva"}
    # The night in between comes late: it was made without knowing of what is out.
    before = shop.files()
    assert shop.export(AS_OF + DAY)["status"].to_list() == ["superseded"]
    assert shop.files() == before


def test_a_list_that_is_not_told_for_long_is_remembered_without_its_folder(shop: Nights) -> None:
    people = {"ana": {**PERSON, "email": "ana@example.com"}}
    shop.night(world(people))
    shop.night(world(people, as_of=AS_OF + DAY))
    del shop.slices[AS_OF]
    for path in sorted((shop.home / "dispatch").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert shop.night(world({}, as_of=AS_OF + 2 * DAY)).select("removed").item() == 1


ADDRESSES = st.sampled_from([None, "a@example.com", "b@example.com", "c@example.com"])
ONE = st.fixed_dictionaries(
    {
        "email": ADDRESSES,
        "phone": st.sampled_from([None, "612345678", "699999999"]),
        "consent_ads": st.sampled_from([True, True, True, False]),
        "stage": st.sampled_from(["lapsed", "lapsed", "active"]),
        "second": ADDRESSES,
    }
)
PEOPLE_OF_NIGHTS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("pqrs"), ONE), st.booleans(), st.integers(1, 3)), min_size=1, max_size=6
)


@settings(max_examples=25, deadline=None)
@given(PEOPLE_OF_NIGHTS)
def test_adds_less_removals_of_all_nights_are_the_members(nights: list[tuple[dict[str, Any], bool, int]]) -> None:
    """People come, go, change addresses and minds; some runs end between planning and export; sizes fall below the least."""
    with TemporaryDirectory() as folder:
        shop = Nights(Path(folder))
        inside: set[tuple[str, ...]] = set()
        for number, (chosen, ends_early, least) in enumerate(nights):
            people = {name: {**PERSON, **values} for name, values in chosen.items()}
            seconds = [{"customer_id": name, "email": one["second"]} for name, one in chosen.items() if one["second"]]
            tonight = world(people, min_size=least, as_of=AS_OF + number * DAY, identities=seconds)
            rows = shop.plan(tonight)
            if ends_early:
                continue
            shop.export(tonight.as_of)
            inside = members(rows)
            fit = {n for n, one in chosen.items() if one["stage"] == "lapsed" and one["consent_ads"]}
            fit = {n for n in fit if chosen[n]["email"] or chosen[n]["phone"] or chosen[n]["second"]}
            assert {row[0] for row in inside} == (fit if len(fit) >= least else set())
            assert shop.at_the_tool(by_person=False) == inside
            assert shop.at_the_tool(by_person=True) == inside


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ('who: {field: stagee, op: "==", value: lapsed}', "did you mean stage"),
        ("value: stage", "a value is a number"),
        ("value: clv_12m, destination: google", "google takes none"),
        ("destination: tiktok", "needs account_id and list_id"),
        ("experiment: adz", "did you mean ads"),
    ],
)
def test_a_wrong_audience_is_told_when_the_file_is_read(change: str, problem: str) -> None:
    made = World({}, yaml=f"dispatch: {{audiences: {{recent_buyers: {{{change}}}}}}}")
    with pytest.raises(SettingsError, match=problem):
        _ = made.shop


def test_the_example_of_the_page_is_read() -> None:
    page = Path(__file__).parents[2] / "docs" / "audiences.md"
    example = page.read_text("utf-8").split("```yaml")[1].split("```")[0]
    parsed = parse(Shop, SHOP_FILE.split("dispatch:")[0] + example, "docs/audiences.md", [])
    assert parsed.dispatch.audiences["big_baskets"].destination == "tiktok"
    assert not parsed.dispatch.audiences["vip_lookalike"].enabled
