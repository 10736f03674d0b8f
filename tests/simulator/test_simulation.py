"""What the simulator tells agrees with the truth that it keeps."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.contracts import registry
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.inputs import ingest
from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.simulator.day import SLEEPING_DOG, State
from lifecycle_assets.simulator.people import EFFECT, PERSUASION, people
from lifecycle_assets.simulator.simulation import Block, night, past
from lifecycle_assets.simulator.world import CATEGORIES, CHANNELS, PER_CATEGORY, SEND_HOURS, TIERS, World
from resources.simulation import Simulation

START = dt.date(2024, 1, 1)
MESSAGES = {
    "message_id": pl.String,
    "customer_id": pl.String,
    "channel": pl.String,
    "content_type": pl.String,
    "hour": pl.Int64,
    "discount_pct": pl.Float64,
    "propensity": pl.Float64,
}


@pytest.fixture(scope="module")
def lived() -> tuple[World, Block]:
    world = World("shop", START, 365, 6_000, seed=3)
    return world, past(world, 0, world.customers)


def test_lifetimes_are_those_of_bg_nbd() -> None:
    world = World("quiet", START, 720, 12_000, seed=1, messages_per_month=0, weekly=0, yearly=0)
    block = past(world, 0, world.customers)
    bought = block.tables["order_lines"].filter(pl.col("quantity") > 0)
    # Days are counted in UTC here; orders are placed between six and midnight of the customers' zones.
    days = bought.group_by("customer_id").agg(
        pl.col("ordered_at").dt.offset_by("-6h").dt.date().unique().sort().alias("days")
    )
    last = world.date(world.days - 1)
    known = days.select(
        (pl.col("days").list.len() - 1).cast(pl.Float64).alias("x"),
        (pl.col("days").list.last() - pl.col("days").list.first()).dt.total_days().cast(pl.Float64).alias("t_x"),
        (last - pl.col("days").list.first()).dt.total_days().cast(pl.Float64).alias("T"),
    )
    model = BgNbd.fit(*(known[name].to_numpy() for name in ("x", "t_x", "T")))
    assert model.r == pytest.approx(world.purchase_shape, rel=0.08)
    assert model.alpha == pytest.approx(world.purchase_scale, rel=0.12)
    assert model.a / (model.a + model.b) == pytest.approx(
        world.dropout_a / (world.dropout_a + world.dropout_b), rel=0.12
    )


def test_messages_are_answered_at_the_true_rates(lived: tuple[World, Block]) -> None:
    _, block = lived
    told = block.tables["engagement"].join(block.truth, on="customer_id")
    for channel in CHANNELS:
        rows = told.filter(pl.col("channel") == channel)
        # Tiredness lowers what is seen a little; on average over hours, tiers and contents the rate is the customer's own.
        load = rows.select((-pl.col("fatigue") * 0.5).exp().mean()).item()
        expected = rows[f"rate_{channel}"].mean() * load
        seen = rows["clicked_at"].is_not_null().mean()
        assert seen == pytest.approx(expected, abs=4 * np.sqrt(expected / rows.height) + 0.05 * expected)


def test_multipliers_are_one_on_average_and_discounts_never_hurt() -> None:
    who = people(World("shop", START, 100, 500), 0, 500)
    everyone = np.arange(who.size)
    hours = np.stack([who.by_hour(everyone, np.full(who.size, hour)) for hour in SEND_HOURS])
    tiers = np.stack([who.by_discount(everyone, np.full(who.size, pct)) for pct in TIERS])
    week = np.stack([np.broadcast_to(who.by_weekday(everyone, day), who.size) for day in range(7)])
    for part in (hours, tiers, week):
        np.testing.assert_allclose(part.mean(axis=0), 1.0)
    assert (np.diff(tiers, axis=0) >= 0).all()


def test_nobody_shares_an_address_and_every_input_table_is_told(tmp_path: Path) -> None:
    many = World("many", START, 14, 60_000)
    made = Simulation(tmp_path / "many")
    made.begin(many, lambda _: None)
    customers = pl.read_parquet(made.input / "customers" / "*.parquet")
    assert customers.height == many.customers
    assert customers["email"].n_unique() == customers["phone"].n_unique() == many.customers
    assert {folder.name for folder in made.input.iterdir()} == {
        contract.table for contract in ingest.tables(list(registry().values()))
    }
    strangers = pl.read_parquet(made.input / "web_events" / "*.parquet").drop_nulls("anonymous_id")
    known = pl.read_parquet(made.input / "identities" / "*.parquet")
    assert known.join(strangers, on="anonymous_id", how="semi").height > 0


def test_campaigns_have_the_effects_of_the_truth(lived: tuple[World, Block]) -> None:
    _, block = lived
    rows = block.tables["campaign_assignments"].join(block.truth.select("customer_id", "persuasion"), on="customer_id")
    for kind, name in enumerate(PERSUASION):
        for treatment in (0, 1):
            cell = rows.filter((pl.col("persuasion") == name) & (pl.col("treatment") == treatment))
            rate = EFFECT[kind, treatment]
            assert cell["outcome"].mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / cell.height))


def test_products_are_chosen_by_price_as_their_elasticity_says() -> None:
    world = World("shop", START, 70, 10)
    weeks = range(10)
    dear = np.stack([world.prices(week) / world.list_price for week in weeks])
    assert 0.05 < (dear < 1).mean() < 0.15
    share = np.stack([np.diff(world.choice(week), axis=1, prepend=0).ravel() for week in weeks])
    at_hand = np.stack([world.stock(week) for week in weeks]).min(axis=0) > 0
    assert not share[~np.stack([world.stock(week) > 0 for week in weeks])].any()
    product = int(np.flatnonzero((dear.min(axis=0) < 1) & (dear.max(axis=0) == 1) & at_hand)[0])
    on, off = int(dear[:, product].argmin()), int(dear[:, product].argmax())
    own = slice(product // PER_CATEGORY * PER_CATEGORY, (product // PER_CATEGORY + 1) * PER_CATEGORY)
    # Odds against a product of the category whose price stayed: the other promotions cancel out.
    other = next(k for k in range(own.start, own.stop) if k != product and at_hand[k] and dear[on, k] == dear[off, k])
    odds = np.log(share[on, product] / share[on, other]) - np.log(share[off, product] / share[off, other])
    price = np.log(dear[on, product] / dear[off, product])
    assert odds / price == pytest.approx(-world.elasticity[product])
    assert len(CATEGORIES) * PER_CATEGORY == world.n_products


def test_the_same_block_is_the_same_again(lived: tuple[World, Block]) -> None:
    world, block = lived
    again = past(world, 0, world.customers)
    assert again.truth.equals(block.truth)
    for name, table in block.tables.items():
        assert table.equals(again.tables[name]), name


def _messages(who: list[str], channel: str = "email", pct: float = 25.0) -> pl.DataFrame:
    rows = [(f"m-{k}", name, channel, "offer", 18, pct, 0.5) for k, name in enumerate(who)]
    return pl.DataFrame(rows, schema=MESSAGES, orient="row")


def test_a_night_reaches_those_who_allow_it_and_nobody_else(lived: tuple[World, Block]) -> None:
    world, block = lived
    truth = block.truth
    messages = _messages([*truth["customer_id"].to_list(), "nobody"])
    state = State.of(block.state.arrays())
    state.unsubscribed[:, CHANNELS.index("email")] |= np.arange(world.customers) % 3 == 0
    allowed = truth["consent_email"].to_numpy() & ~state.unsubscribed[:, CHANNELS.index("email")]
    tonight = night(world, 0, world.customers, state, world.days, messages)
    told = tonight.tables["engagement"]
    assert set(told["customer_id"]) == set(truth["customer_id"].filter(pl.Series(allowed)))
    assert told.join(messages, on=["message_id", "customer_id"]).height == told.height
    assert set(told["content_type"]) == {"offer"}
    carried = tonight.tables["order_lines"].drop_nulls("message_id")
    converted = told.filter(pl.col("converted_at").is_not_null())
    assert set(carried["message_id"]) == set(converted["message_id"])
    assert (carried["discount_amount"] > 0).all()
    kinds = truth.filter(pl.col("customer_id").is_in(converted["customer_id"].implode()))["persuasion"]
    assert set(kinds) <= {"persuadable", "sure_thing"}


def test_messages_drive_sleeping_dogs_away_and_silence_does_not(lived: tuple[World, Block]) -> None:
    world, block = lived
    dogs = (block.truth["persuasion"] == PERSUASION[SLEEPING_DOG]).to_numpy()
    left = {}
    for name, messages in {"mailed": _messages(block.truth["customer_id"].to_list()), "silent": _messages([])}.items():
        state = State.of(block.state.arrays())
        for day in range(20):
            night(world, 0, world.customers, state, world.days + day, messages)
        left[name] = (block.state.alive & ~state.alive)[dogs].mean()
    assert left["mailed"] > 1.5 * left["silent"]


def test_a_simulation_goes_on_where_it_was_and_the_same_night_is_the_same(tmp_path: Path) -> None:
    world = World("small", START, 60, 300, seed=2)
    made = Simulation(tmp_path / "small")
    made.begin(world, lambda _: None)
    with pytest.raises(LifecycleError, match="exists"):
        made.begin(world, lambda _: None)
    assert made.world() == world
    messages = _messages(people(world, 0, 300).ids().to_list())
    assert made.go_on(messages, lambda _: None) == dt.date(2024, 3, 1)
    first = pl.read_parquet(made.input / "engagement" / "night-2024-03-01-0000.parquet")
    # Cut short before the state was in place: the night is lived again.
    (made.root / "state" / "60").rename(made.root / "state" / ".60")
    assert made.last_day() == dt.date(2024, 2, 29)
    made.go_on(messages, lambda _: None)
    assert first.equals(pl.read_parquet(made.input / "engagement" / "night-2024-03-01-0000.parquet"))
    assert made.go_on(_messages([]), lambda _: None) == dt.date(2024, 3, 2)
    truth = pl.read_parquet(made.root / "truth" / "61" / "*.parquet")
    assert truth.height == 300


def test_a_folder_without_a_simulation_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match="lifecycle simulate --shop"):
        Simulation(tmp_path / "none").world()
