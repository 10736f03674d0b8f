"""A past night made again says the same, whatever happened after it."""

import ast
import dataclasses
import datetime as dt
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lifecycle_assets import definitions
from lifecycle_assets.contracts import Contract, registry
from lifecycle_assets.definitions import Home
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.inputs.contracts import Engagement, OrderLines, PriceHistory
from lifecycle_assets.models.backtest import SCORES, WANTED, Backtest, hash_of, replayed
from lifecycle_assets.models.recommendations import UserRecommendations
from lifecycle_assets.night import Night
from lifecycle_assets.operations.backtest import run_backtest
from resources.replays import LIBRARIES, Replays, made_by
from resources.warehouse.lake import Lake

pytestmark = pytest.mark.slow
SHOP, ZONE = "made", "UTC"
FIRST, DAY, TONIGHT = dt.date(2024, 1, 1), dt.date(2024, 6, 30), dt.date(2024, 8, 31)
CONFIGURATION = f"""
name: Made
timezone: {ZONE}
currency: EUR
country: ES
input: none
as_of: {TONIGHT}
scores: {{candidates: [logistic], folds: 2, snapshots: 2, training_rows: 2000, top_products: 3}}
customer: {{churn: {{window_days: 30}}}}
"""
Rows = pl.DataFrame


def moment(days: np.ndarray, hours: np.ndarray) -> pl.Series:
    return pl.Series([dt.datetime.combine(FIRST, dt.time(), dt.UTC) + dt.timedelta(days=int(d), hours=int(h))
                      for d, h in zip(days, hours, strict=True)])  # fmt: skip


def as_stored(contract: Contract, rows: Rows) -> Rows:
    stamped = rows.with_columns(shop_id=pl.lit(SHOP), as_of=pl.lit(TONIGHT))
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in stamped.columns]
    return contract.conform(stamped.lazy().with_columns(absent)).collect()


def order_lines(rng: np.random.Generator, n: int = 2500) -> Rows:
    days, hours = rng.integers(0, (TONIGHT - FIRST).days + 1, n), rng.integers(0, 24, n)
    rows = pl.DataFrame(
        {
            "line_no": np.arange(1, n + 1),
            "order_id": [f"O{i}" for i in range(n)],
            "customer_id": [f"C{i:03d}" for i in np.minimum(rng.geometric(0.02, n), 150)],
            "ordered_at": moment(days, hours),
            "product_id": [f"P{i}" for i in rng.geometric(0.2, n)],
            "quantity": 1.0,
            "unit_price": rng.integers(1, 50, n).astype(float),
            "discount_amount": 0.0,
            "status": "completed",
        }
    )
    return as_stored(
        OrderLines, rows.with_columns(order_date=pl.col("ordered_at").dt.date(), amount=pl.col("unit_price"))
    )


def engagement(rng: np.random.Generator, n: int = 800) -> Rows:
    sent = moment(rng.integers(0, (TONIGHT - FIRST).days + 1, n), rng.integers(0, 24, n))
    opened = pl.when(pl.Series(rng.random(n) < 0.3)).then(pl.col("sent_at") + dt.timedelta(days=2))
    rows = pl.DataFrame(
        {
            "message_id": [f"M{i}" for i in range(n)],
            "customer_id": [f"C{i:03d}" for i in rng.integers(1, 150, n)],
            "channel": "email",
            "content_type": "news",
            "sent_at": sent,
        }
    )
    return as_stored(Engagement, rows.with_columns(opened_at=opened))


def prices(rng: np.random.Generator) -> Rows:
    days = pl.date_range(FIRST, TONIGHT, eager=True)
    rows = pl.DataFrame({"product_id": "P1", "date": days, "price": rng.uniform(5, 9, days.len()).round(2)})
    return as_stored(PriceHistory, rows)


class World:
    """A home whose raw tables are there, and its past night made again."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.home.shop_file(SHOP).parent.mkdir(parents=True)
        self.home.shop_file(SHOP).write_text(CONFIGURATION)
        rng = np.random.default_rng(11)
        self.raw = {OrderLines: order_lines(rng), Engagement: engagement(rng), PriceHistory: prices(rng)}
        self.lake = Lake(self.home.warehouse, list(registry().values()))
        self.replays: Replays = definitions.build_resources(self.home)["replays"]
        settings = replayed(self.home.shop(SHOP))
        self.tonight = Night(SHOP, TONIGHT, TONIGHT, dt.datetime(2024, 9, 1, tzinfo=dt.UTC), settings)

    def write(self, change: Callable[[Rows, str], Rows] | None = None) -> None:
        """Put the raw tables there, each changed by the column of its events."""
        for contract, at in ((OrderLines, "ordered_at"), (Engagement, "sent_at"), (PriceHistory, "date")):
            rows = self.raw[contract] if change is None else change(self.raw[contract], at)
            self.lake.write(contract, SHOP, TONIGHT, rows)

    def said(self, change: Callable[[Rows, str], Rows] | None = None) -> dict[str, Rows]:
        """What the night of DAY says of these tables."""
        self.write(change)
        return {name: rows.collect() for name, rows in self.replays.tables(self.tonight, DAY, WANTED).items()}

    def kept(self) -> set[str]:
        return {path.name for path in (self.home.backtests / SHOP).iterdir()}


def is_later(at: str) -> pl.Expr:
    return pl.col(at).cast(pl.Date) > DAY


def removed(rows: Rows, at: str) -> Rows:
    return rows.filter(~is_later(at))


def doubled_and_dearer(rows: Rows, at: str) -> Rows:
    later = rows.filter(is_later(at))
    if "line_no" in rows.columns:
        again = later.with_columns(
            line_no=pl.col("line_no") + 100_000,
            order_id="again" + pl.col("order_id"),
            unit_price=pl.col("unit_price") * 9,
        ).with_columns(amount=pl.col("unit_price").cast(pl.Decimal(18, 4)))
        return pl.concat([rows, again])
    if "price" in rows.columns:
        return rows.with_columns(price=pl.when(is_later(at)).then(pl.col("price") * 9).otherwise("price"))
    return pl.concat([rows, later.with_columns(message_id="again" + pl.col("message_id"), opened_at="sent_at")])


def passed_on(rows: Rows, at: str) -> Rows:
    """Everything that came later happened to the next customer; what was sent before is opened after the day."""
    if "customer_id" not in rows.columns:
        return rows
    moved = rows.with_columns(
        customer_id=pl.when(is_later(at)).then(pl.col("customer_id").reverse()).otherwise("customer_id")
    )
    if "opened_at" in rows.columns:
        night = dt.datetime.combine(DAY + dt.timedelta(days=1), dt.time(), dt.UTC)
        return moved.with_columns(opened_at=pl.coalesce("opened_at", pl.max_horizontal("sent_at", pl.lit(night))))
    return moved


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("replays") / "home")


@pytest.fixture(scope="module")
def said(world: World) -> dict[str, Rows]:
    return world.said()


def test_the_night_made_scores(said: dict[str, Rows]) -> None:
    assert {name for name, rows in said.items() if rows.is_empty()} == set()
    assert said["propensity_buy"]["probability"].null_count() == 0
    assert all(rows["as_of"].unique().to_list() == [DAY] for rows in said.values())


@pytest.mark.parametrize("change", [removed, doubled_and_dearer, passed_on])
def test_nothing_that_came_later_is_told_to_the_night(
    world: World, said: dict[str, Rows], change: Callable[[Rows, str], Rows]
) -> None:
    kept = world.kept()
    again = world.said(change)
    # The night is kept under the hash of all that it was told, to the byte.
    assert world.kept() == kept
    assert all(again[name].equals(rows) for name, rows in said.items())


def test_the_night_run_anew_on_another_future_says_the_same(world: World, said: dict[str, Rows]) -> None:
    shutil.rmtree(world.home.backtests)
    again = world.said(doubled_and_dearer)
    for contract, score, _ in SCORES.values():
        first, second = said[contract.table], again[contract.table]
        assert hash_of(first.lazy(), contract, score) == hash_of(second.lazy(), contract, score)
        assert_frame_equal(first, second, check_exact=True)


def test_another_past_or_seed_is_another_night(world: World) -> None:
    def rank(change: Callable[[Rows, str], Rows] | None = None, seed: int = 0) -> set[str]:
        before = world.kept()
        settings = world.tonight.settings.model_copy(update={"seed": seed})
        world.write(change)
        world.replays.tables(dataclasses.replace(world.tonight, settings=settings), DAY, [UserRecommendations])
        return world.kept() - before

    def a_day_less(rows: Rows, at: str) -> Rows:
        return rows.filter(pl.col(at).cast(pl.Date) != DAY)

    assert len(rank()) == 1
    assert not rank()
    assert len(rank(a_day_less)) == 1
    assert len(rank(seed=1)) == 1


def test_the_hash_is_of_all_that_scores_are_computed_by() -> None:
    package = Path(definitions.__file__).parent
    sources = made_by()
    imported = {
        name
        for file in sources
        if file.suffix == ".py"
        for node in ast.walk(ast.parse(file.read_text()))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
    }  # fmt: skip
    own = {package / f"{name.split('.')[1]}.py" for name in imported if name.startswith(f"{package.name}.")}
    assert {file for file in own if file.exists()} <= set(sources)
    distributions = metadata.packages_distributions()
    used = {library for name in imported for library in distributions.get(name.split(".")[0], [])}
    assert set(LIBRARIES) <= used
    plain = {"altair", "dagster", "dataframely", "holidays", "lifecycle-assets", "pandas", "phonenumbers", "pydantic",
             "sqlglot", "threadpoolctl", "typer", "vl-convert-python"}  # fmt: skip
    assert used - set(LIBRARIES) <= plain


def test_a_shop_that_was_never_read_has_nothing_to_judge(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.shop_file(SHOP).parent.mkdir(parents=True)
    home.shop_file(SHOP).write_text(CONFIGURATION)
    with pytest.raises(
        LifecycleError, match="made: no order lines have been read yet. First: lifecycle run --shop made"
    ):
        run_backtest(home, SHOP, "2024-06", "2024-06")


def test_another_future_moves_the_outcomes_and_nothing_else(
    world: World, said: dict[str, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIFECYCLE_HOME", "DAGSTER_HOME"):  # which the command sets
        monkeypatch.setenv(name, str(world.home.root))
    judged, pages = [], []
    for change in (None, None, passed_on):
        world.write(change)
        result = run_backtest(world.home, SHOP, "2024-06", "2024-06")
        judged.append(pl.DataFrame(result.rows, schema=dict(Backtest.polars_schema)))
        pages.append(Path(result.reports[0]).read_bytes())
    first, again, other = judged
    assert first.equals(again)
    assert pages[0] == pages[1]
    assert first["predictions_hash"].to_list() == other["predictions_hash"].to_list()
    told = {model for model, value in first.select("model", "value").rows() if value is not None}
    assert {"propensity_buy", "propensity_respond", "forecast_revenue", "recommendations"} <= told
    for model in ("propensity_buy", "propensity_respond", "recommendations"):
        of_model = pl.col("model") == model
        assert not first.filter(of_model).equals(other.filter(of_model)), model
    score = SCORES["propensity_buy"][:2]
    assert first.filter(model="propensity_buy")["predictions_hash"][0] == hash_of(said["propensity_buy"].lazy(), *score)
