"""What is pruned is never missed: nothing that a later night computes changes."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, NEW, SHOP_FILE, World

from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch.batches import Batches, batches
from lifecycle_assets.dispatch.ledger import Ledger, lines_of
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.dispatch.profile import profiles
from lifecycle_assets.dispatch.retention import LedgerTotals, kept_since, parting
from lifecycle_assets.models.churn_risk import ChurnRisk
from lifecycle_assets.models.message_evidence import MessageEvidence
from lifecycle_assets.settings import Shop, parse
from resources.delivery import Delivery
from resources.pruning import Pruning
from resources.warehouse.lake import Lake

SHOP = parse(Shop, SHOP_FILE, "shops/lupe.yaml")
NO_TOTALS = LedgerTotals.empty().lazy()


def sent(days_ago: int, customer: str, programme: str, step: int = 1, *events: str) -> pl.DataFrame:
    """The ledger's lines of one message, planned `days_ago` and exported, and of what else became of it."""
    night = AS_OF - dt.timedelta(days=days_ago)
    offer = {"winback": "winback_10", "welcome": "welcome_hello"}[programme]
    message = {
        "shop_id": "lupe", "as_of": night, "idempotency_key": f"{customer}-{programme}-{step}-{days_ago}",
        "batch_id": f"{programme}-{night}", "customer_id": customer, "channel": "email", "programme": programme,
        "step": step, "offer_id": offer,
    }  # fmt: skip
    at = dt.datetime.combine(night, dt.time(2), dt.UTC)
    frame = pl.DataFrame([message])
    return pl.concat([lines_of(frame, event, at=at, run="r") for event in ("planned", "exported", *events)])


def history() -> pl.DataFrame:
    """Three years of a few customers: journeys of several steps, an undone message, one of every age."""
    rows = [sent(days, f"c{days % 7}", "winback", 1 + days % 3) for days in range(1, 1100, 13)]
    rows += [sent(days, f"c{days % 5}", "welcome") for days in range(5, 1100, 31)]
    rows += [sent(900, "ana", "winback", 1), sent(890, "ana", "winback", 2)]
    rows += [sent(800, "bea", "winback", 1, "compensated"), sent(1000, "bea", "welcome")]
    return pl.concat(rows).sort("as_of", "idempotency_key", "event")


def what_nights_read(lines: pl.DataFrame, totals: pl.LazyFrame) -> dict[str, Any]:
    """All that tonight's decisions, batches and experiments take from the ledger."""
    frame = lines.lazy()
    people = {name: {**LAPSED, "recency_days": 2000} for name in ("ana", "bea", *(f"c{i}" for i in range(7)))}
    world = World({**people, "neu": NEW}, lines=lines)
    heard = ledgers.heard(frame, [], approval=False)
    exported = frame.filter(pl.col("event") == "exported")
    before = batches(Messages.empty().lazy(), exported, assumptions={})
    return {
        "profiles": profiles(world.sources(), as_of=AS_OF, shop=world.shop).to_dicts(),
        "reasons": world.reasons(),
        "offers": ledgers.offers_used(heard, totals, AS_OF),
        "first nights": dict(exported.group_by("programme").agg(pl.col("as_of").min()).collect().iter_rows()),
        "last batches": sorted(exported.group_by("channel", "programme").agg(pl.col("as_of").max()).collect().rows()),
        "undone": ledgers.undone(frame).collect()["idempotency_key"].sort().to_list(),
        "of the last year": frame.filter(pl.col("as_of") >= kept_since(SHOP, AS_OF)).collect().to_dicts(),
        "batches": before.to_dicts(),
    }


def test_nothing_that_a_night_reads_changes_by_pruning() -> None:
    lines = history()
    before = what_nights_read(lines, NO_TOTALS)
    parted = parting(lines.lazy(), NO_TOTALS, SHOP, as_of=AS_OF)
    assert parted.gone > 100
    assert parted.kept.height == lines.height - parted.gone
    assert [row["customer_id"] for row in before["profiles"] if row["undone_winback"]] == ["bea"]
    assert what_nights_read(parted.kept, parted.totals.lazy()) == before
    # A run that died after the totals: they and the lines together count everything once.
    assert ledgers.offers_used(
        ledgers.heard(lines.lazy(), [], approval=False), parted.totals.lazy(), AS_OF
    ) == before["offers"]  # fmt: skip
    # Again, and a year later.
    again = parting(parted.kept.lazy(), parted.totals.lazy(), SHOP, as_of=AS_OF)
    assert (again.gone, again.totals.height) == (0, 0)
    later = AS_OF + dt.timedelta(days=400)
    last = parting(parted.kept.lazy(), parted.totals.lazy(), SHOP, as_of=later)
    totals = pl.concat([parted.totals, last.totals]).lazy()
    LedgerTotals.require(totals.collect())
    assert ledgers.offers_used(ledgers.heard(last.kept.lazy(), [], approval=False), totals, later) == before["offers"]


def test_lines_go_only_when_they_are_old_and_settled() -> None:
    since = kept_since(SHOP, AS_OF)
    assert (AS_OF - since).days >= SHOP.retention.ledger_days
    open_batch = sent(900, "ana", "winback").filter(event="planned")
    young = sent((AS_OF - since).days, "ana", "winback")
    old = pl.concat([sent((AS_OF - since).days + 1, "ana", "winback"), open_batch, young])
    parted = parting(old.lazy(), NO_TOTALS, SHOP, as_of=AS_OF)
    assert parted.kept.join(young, on=Ledger.primary_key, how="semi").height == young.height
    assert parted.kept.join(open_batch, on=Ledger.primary_key, how="semi").height == 1
    longer = SHOP.model_copy(update={"retention": SHOP.retention.model_copy(update={"ledger_days": 1500})})
    assert parting(history().lazy(), NO_TOTALS, longer, as_of=AS_OF).gone == 0


def home_with_a_past(home: Path) -> Pruning:
    """A ledger of three years in several files, folders of batches, and slices of old and of young nights."""
    lake = Lake(home / "warehouse", [Ledger, LedgerTotals, Batches, MessageEvidence])
    pruning = Pruning(lake, Delivery(home / "dispatch"))
    lines = history()
    for year in (2022, 2023, 2024, 2025):
        lake.append(Ledger, "lupe", AS_OF, lines.filter(pl.col("as_of").dt.year() == year))
    for days in (10, 700):
        night = AS_OF - dt.timedelta(days=days)
        pruning.delivery.put("lupe", night, "b", {"messages.csv": lambda target: target.write(b"x")}, lambda _: b"{}")
        for contract in (Batches, MessageEvidence):
            lake.write(contract, "lupe", night, contract.empty())
    return pruning


def test_scores_stay_until_their_label_is_known(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse", [Ledger, LedgerTotals, ChurnRisk])
    nights = [AS_OF - dt.timedelta(days=days) for days in (91, 90, 31, 1)]
    for night in nights:
        lake.write(ChurnRisk, "lupe", night, ChurnRisk.empty())
    short = SHOP.model_copy(update={"retention": SHOP.retention.model_copy(update={"models_days": 30})})
    assert short.customer.churn.window_days == 90
    Pruning(lake, Delivery(tmp_path / "dispatch")).prune("lupe", short, AS_OF)
    assert lake.nights(ChurnRisk, "lupe") == nights[1:]


def files_of(home: Path) -> set[Path]:
    return {
        path.relative_to(home)
        for path in home.rglob("*")
        if path.is_file() and ".locks" not in path.parts and not path.name.startswith("empty-")
    }


@pytest.mark.parametrize("dies", [False, True])
def test_a_home_is_pruned_and_a_dry_run_only_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    pruning = home_with_a_past(tmp_path)
    lake = pruning.lake
    before = lake.scan(Ledger, "lupe").collect()
    files = files_of(tmp_path)
    foretold = pruning.prune("lupe", SHOP, AS_OF, dry_run=True)
    assert files_of(tmp_path) == files
    if dies:
        with monkeypatch.context() as patch:
            patch.setattr(lake, "keep_rows", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                pruning.prune("lupe", SHOP, AS_OF)
        assert lake.scan(Ledger, "lupe").collect().equals(before)
    done = pruning.prune("lupe", SHOP, AS_OF)
    assert done == foretold
    after = lake.scan(Ledger, "lupe").collect()
    assert after.height == before.height - done.ledger_lines
    assert lake.catalogue.query("SELECT count(*) AS n FROM dispatch.ledger").item() == after.height
    totals = lake.scan(LedgerTotals, "lupe").collect()
    LedgerTotals.require(totals)
    old_folder = Path("dispatch") / "lupe" / str(AS_OF - dt.timedelta(days=700)) / "b"
    assert not (tmp_path / old_folder).exists()
    assert len(list((tmp_path / "dispatch" / "lupe").iterdir())) == 1
    assert lake.nights(Batches, "lupe") == [AS_OF - dt.timedelta(days=10)]
    # The evidence of all nights together is the whole: none of it goes.
    assert len(lake.nights(MessageEvidence, "lupe")) == 2
    assert what_nights_read(after, totals.lazy()) == what_nights_read(before, NO_TOTALS)
    left = files_of(tmp_path)
    assert pruning.prune("lupe", SHOP, AS_OF).ledger_lines == 0
    assert files_of(tmp_path) == left
