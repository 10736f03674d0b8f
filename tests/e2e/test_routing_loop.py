"""Some nights of a simulated shop: the routing earns more than its rivals, and than silence, and leaves sleeping dogs alone."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench.routing import by_customer
from bench.routing_judge import Shop
from bench.routing_loop import ours
from bench.routing_rivals import rivals
from lifecycle_assets.definitions import Home
from lifecycle_assets.simulator.world import World

NIGHTS = 2


@pytest.mark.slow
def test_the_routing_earns_more_than_its_rivals_and_lets_sleeping_dogs_lie(tmp_path: Path) -> None:
    world = World("loop", dt.date(2024, 1, 1), 400, 10_000, seed=1, messages_per_month=1.0)
    shop = Shop(world, unsubscribed=None)
    own = ours(Home(tmp_path / "home"), shop, NIGHTS)
    worth = by_customer(own, world.customers)
    for name, other in rivals(shop, NIGHTS):
        lead = worth - by_customer(other, world.customers)
        assert lead.mean() > 3 * lead.std() / np.sqrt(world.customers), name
    dogs, others = (own.filter(pl.col("is_alive"), pl.col("is_dog") == is_dog)["worth"] for is_dog in (True, False))
    assert dogs.count() / dogs.len() < 0.5 * others.count() / others.len()
    # Better than to be silent, too.
    assert worth.sum() > 0
    assert own["choice"].sum() > 0
