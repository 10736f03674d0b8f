"""Who belongs to which list at an advertising tool, and what has to be told to the tool tonight?

Of those whom an audience's rule describes, the erased, the suppressed, those without consent for `ads`, the holdout of the
audience's experiment and people without any address stay out; of an audience with values, those without one as well. Rules
look at the world of as_of. Consent, suppression and erasure are those known when the night runs, like at an export of
messages: the table is an instruction to others.

Tonight's rows are held against those that the destination holds: the members of the latest night whose batch went out. Rows
that are no longer there are removed, new ones and those whose value has changed are added. Whoever loses an address is
removed with it and added anew with what is left, so removals are applied first. Adds less removals of all nights are always
the members. An audience with fewer people than min_size is emptied, since it would point at single people, and so is one that
is switched off, renamed or moved to another list; all are when the channel `ads` is switched off.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, date, key, number, personal, shop_key, table, text
from lifecycle_assets.dispatch import identifiers as known_by
from lifecycle_assets.dispatch import profile, rules
from lifecycle_assets.dispatch.contact import GIVEN, standing
from lifecycle_assets.dispatch.destinations import google, meta, tiktok
from lifecycle_assets.dispatch.profile import Sources
from lifecycle_assets.hashing import SEPARATOR, content_hash, digests
from lifecycle_assets.settings import Audience, Rule, Shop, profile_fields

ADAPTERS: Mapping[str, ModuleType] = {adapter.NAME: adapter for adapter in (meta, google, tiktok)}
LIST = ["audience", "destination", "account_id", "list_id"]
IN_IT = ["added", "member"]
_ENTRY = [*LIST, "customer_id", *known_by.COLUMNS]
_LEFT_OUT = ["suppressed", "no_consent", "holdout", "no_address", "no_value", "too_small"]


@table("dispatch.audiences", history=True, needs=("raw.customers",))
class Audiences(dy.Schema):
    """Whom each advertising tool knows of, what it is told tonight, and who is left out although the rule describes them.
    A row per person and address."""

    shop_id = shop_key()
    as_of = as_of_column()
    audience = key("The audience.")
    customer_id = key("The person.")
    entry = dy.Int64(primary_key=True, min=1, description="Counts the person's rows.", metadata={"unit": "number"})
    destination = text("The tool.", nullable=False, values=list(ADAPTERS))
    account_id = text("The advertiser's account there; empty where it is not configured.", nullable=False)
    list_id = text("The list's id there; empty where it is not configured.", nullable=False)
    state = text(
        "added: told to the tool tonight; member: known to it; removed: taken out tonight; left_out: described by the rule "
        "and not a member.",
        nullable=False,
        values=[*IN_IT, "removed", "left_out"],
    )
    reason = text(
        "Why removed or left out; null for members and for an address that changed.",
        values=["erased", *_LEFT_OUT, "not_qualified", "switched_off"],
    )
    value = number("What the person is worth by the audience's field; null without one.", nullable=True, minimum=0)
    batch_id = text("The batch that brought the list to its present state; null for those left out.")
    batch_as_of = date("The night of that batch.", nullable=True)
    email_sha256 = personal("Hash of an e-mail address, as the tool is told it.")
    phone_sha256 = personal("Hash of a telephone number.")
    first_name_sha256 = personal("Hash of the first name.")
    last_name_sha256 = personal("Hash of the last name.")
    country = personal("Country, ISO 3166-1 alpha-2.")
    postal_code = personal("Postal code.")


# The slices of dispatch.audiences with their nights, the latest first.
Slices = Iterable[tuple[dt.date, pl.LazyFrame]]
# Whether the batch of a night went out.
Found = Callable[[dt.date, str], bool]


def held(slices: Slices, found: Found) -> pl.DataFrame:
    """The rows of `Audiences` that destinations hold after the nights of `slices`: for each list those of the latest night
    whose batch went out."""
    parts = [Audiences.empty()]
    sought: pl.DataFrame | None = None
    for night, rows in slices:
        lists = rows.drop_nulls("batch_id").select(*LIST, "batch_id", "batch_as_of").unique().collect()
        if sought is not None:
            lists = lists.join(sought, on=LIST, how="semi")
        # A batch of an earlier night was found to be out when this night's rows were made.
        out = [at < night or found(at, batch) for at, batch in lists.select("batch_as_of", "batch_id").iter_rows()]
        told = lists.filter(pl.Series(out, dtype=pl.Boolean))
        sought = lists.join(told, on=LIST, how="anti")
        members = rows.filter(pl.col("state").is_in(IN_IT)).join(told.lazy(), on=LIST, how="semi")
        parts.append(members.collect())
        if sought.is_empty():
            break
    return pl.concat(parts)


def told(tonight: pl.LazyFrame, as_of: dt.date, found: Found) -> pl.DataFrame:
    """The rows of tonight's audiences of which an earlier run has put a batch out: they stay as they are."""
    batches = tonight.filter(pl.col("batch_as_of") == as_of).select("audience", "batch_id").unique().collect()
    out = [name for name, batch_id in batches.iter_rows() if found(as_of, batch_id)]
    return tonight.filter(pl.col("audience").is_in(out)).collect()


def audiences(
    sources: Sources, before: pl.DataFrame, kept: pl.DataFrame, *, shop_id: str, as_of: dt.date, shop: Shop
) -> pl.DataFrame:
    """One row of `Audiences` per person and address, sorted by key; none without audiences.

    `before`: what destinations hold (see `held`); `kept`: the rows of tonight's audiences that are out (see `told`).
    """
    done = set(kept.get_column("audience"))
    before = before.filter(~pl.col("audience").is_in(list(done)))
    enabled = shop.routing.channels["ads"].enabled
    active = {
        name: audience
        for name, audience in sorted(shop.dispatch.audiences.items())
        if enabled and audience.enabled and name not in done
    }
    ended = before.filter(~pl.col("audience").is_in(list(active)))
    parts = [ended.select(*_ENTRY, "value", state=pl.lit("removed"), reason=pl.lit("switched_off"))]
    if active:
        people = _people(sources, active, as_of, shop)
        parts += [
            _compared(name, audience, people, before.filter(audience=name), sources, shop)
            for name, audience in active.items()
        ]
    rows = _in_batches(pl.concat(parts).sort("audience", "customer_id", *_ENTRY, "state"), before, shop_id, as_of)
    fresh = rows.with_columns(
        shop_id=pl.lit(shop_id),
        as_of=pl.lit(as_of),
        entry=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("audience", "customer_id"),
    )
    whole = pl.concat([Audiences.conform(fresh.lazy()).collect(), kept])
    return whole.sort("audience", "customer_id", "entry")


def _people(sources: Sources, active: Mapping[str, Audience], as_of: dt.date, shop: Shop) -> pl.DataFrame:
    """customer_id, the fields that the audiences ask for, and what contact.standing knows of the channel ads."""
    asked = [*(audience.who for audience in active.values()), *shop.routing.computed.values()]
    values = {_field(audience.value) for audience in active.values() if audience.value}
    fields = profile.fields(sources, rules.fields_of(asked) | values, as_of=as_of, timezone=shop.timezone)
    reach = standing(sources.customer_features, sources.contacts, shop.routing, ["ads"], until=None)
    return fields.join(reach, on="customer_id", how="left").collect()


def _field(name: str) -> str:
    return profile_fields.ALIASES.get(name, name)


def _compared(
    name: str, audience: Audience, people: pl.DataFrame, before: pl.DataFrame, sources: Sources, shop: Shop
) -> pl.DataFrame:
    """_ENTRY, value, state and reason of an audience; `before` is what is held of it."""
    arms = sources.assignments.filter(pl.col("experiment") == audience.experiment, pl.col("arm") == "holdout")
    judged = _judged(people, arms, audience, shop.routing.computed)
    fit = judged.filter(pl.col("reason").is_null())
    takes = ADAPTERS[audience.destination].TAKES
    rows = known_by.identifiers(fit, sources.contacts, takes, shop.country)
    addressed = rows.select("customer_id").unique().with_columns(is_addressed=pl.lit(value=True))
    too_small = addressed.height < audience.min_size
    judged = judged.join(addressed, on="customer_id", how="left", maintain_order="left").with_columns(
        reason=pl.coalesce(
            "reason",
            pl.when(pl.col("is_addressed").is_null()).then(pl.lit("no_address")),
            pl.lit("too_small" if too_small else None, dtype=pl.String),
        )
    )
    place = {
        "audience": pl.lit(name),
        "destination": pl.lit(audience.destination),
        "account_id": pl.lit(audience.account_id or ""),
        "list_id": pl.lit(audience.list_id or ""),
    }
    now = rows.join(judged.filter(pl.col("reason").is_null()).select("customer_id", "value"), on="customer_id")
    changes = _changes(now.with_columns(**place), before)
    reasons = judged.select("customer_id", "reason", is_known=pl.lit(value=True))
    reason = pl.when("is_known").then("reason").otherwise(pl.lit("not_qualified"))
    changes = changes.join(reasons, on="customer_id", how="left").with_columns(reason=reason)
    left_out = judged.filter(pl.col("reason").is_in(_LEFT_OUT)).with_columns(
        **place,
        **{column: pl.lit(None, dtype=pl.String) for column in known_by.COLUMNS},
        state=pl.lit("left_out"),
    )
    columns = [*_ENTRY, "value", "state", "reason"]
    return pl.concat([changes.select(columns), left_out.select(columns)])


def _judged(
    people: pl.DataFrame, held_out: pl.LazyFrame, audience: Audience, computed: Mapping[str, Rule]
) -> pl.DataFrame:
    """customer_id, value and the first reason for which each of `people` is not in the audience, null for none."""
    valued = pl.col(_field(audience.value)).clip(0).round(2) if audience.value else pl.lit(None, dtype=pl.Float64)
    gates = {
        "erased": pl.col("erased"),
        "not_qualified": ~rules.expression(audience.who, computed),
        "suppressed": pl.col("suppressed_ads"),
        "no_consent": ~pl.col("consent_ads").is_in(list(GIVEN)),
        "holdout": pl.col("is_held_out"),
        "no_value": valued.is_null() if audience.value else pl.lit(value=False),
    }
    reason = pl.coalesce(pl.when(gate).then(pl.lit(name)) for name, gate in gates.items())
    marks = held_out.select("customer_id", is_held_out=pl.lit(value=True))
    return (
        people.lazy()
        .join(marks, on="customer_id", how="left")
        .select("customer_id", value=valued, reason=reason)
        .collect()
    )


def _changes(now: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """_ENTRY, value and state of the rows of tonight and of those that are gone."""
    gone = before.join(now, on=_ENTRY, how="anti", nulls_equal=True)
    kept = before.join(gone, on=[*LIST, "customer_id"], how="anti").select(*_ENTRY, "value", state=pl.lit("member"))
    marked = now.join(kept, on=[*_ENTRY, "value"], how="left", nulls_equal=True)
    marked = marked.with_columns(pl.col("state").fill_null("added"))
    columns = [*_ENTRY, "value", "state"]
    return pl.concat([marked.select(columns), gone.with_columns(state=pl.lit("removed")).select(columns)])


def _in_batches(rows: pl.DataFrame, before: pl.DataFrame, shop_id: str, as_of: dt.date) -> pl.DataFrame:
    """`rows` with batch_id and batch_as_of: of a list that changes a batch of tonight's, under the hash of the changes; of
    another one the batch of `before`."""
    ids = []
    changed = rows.filter(pl.col("state").is_in(["added", "removed"]))
    for place, part in changed.group_by(LIST, maintain_order=True):
        of_list = dict(zip(LIST, map(str, place), strict=True))
        version = ADAPTERS[of_list["destination"]].VERSION
        told_of = SEPARATOR.join((shop_id, str(as_of), *of_list.values(), str(version)))
        content = digests(part, ["customer_id", *known_by.COLUMNS, "value", "state"], told_of)
        ids.append({**of_list, "batch_id": content_hash(content)[:32]})
    new = pl.DataFrame(ids, schema=[*LIST, "batch_id"], schema_overrides=dict.fromkeys([*LIST, "batch_id"], pl.String))
    new = new.with_columns(batch_as_of=pl.lit(as_of))
    old = before.select(*LIST, "batch_id", "batch_as_of").unique().join(new, on=LIST, how="anti")
    told_by = pl.concat([new, old])
    left_out = rows.filter(state="left_out")
    listed = rows.filter(pl.col("state") != "left_out").join(told_by, on=LIST, how="left", maintain_order="left")
    return pl.concat([listed, left_out], how="diagonal")
