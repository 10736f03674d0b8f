"""The response of each customer on each channel against the simulator's truth, and what a message there earns."""

import datetime as dt
import re
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from lifecycle_assets.hashing import random_keys
from lifecycle_assets.models.best_channel_kernel import chances_to_be_best
from lifecycle_assets.models.channel_posteriors import ChannelPosteriors, channel_posteriors, preferences
from lifecycle_assets.models.evidence import gathered
from lifecycle_assets.models.message_evidence import MessageEvidence, newest_day, whole
from lifecycle_assets.settings import Shop
from tests.models.channel_world import BY, MARGIN, against_truth, calibration_of_the_best, orders, posteriors
from tests.models.engagement_world import SHOP, lived

DOCUMENT = Path(__file__).parents[2] / "docs" / "posteriors.md"
SEEDS = (1, 2, 3)
AS_OF = dt.date(2025, 6, 30)


def with_posteriors(**settings: float) -> Shop:
    routing = SHOP.routing
    changed = routing.posteriors.model_copy(update=settings)
    return SHOP.model_copy(update={"routing": routing.model_copy(update={"posteriors": changed})})


@cache
def shops() -> pl.DataFrame:
    return pl.concat(against_truth(seed) for seed in SEEDS)


def planted(rows: pl.DataFrame, settings: Shop = SHOP, prefer: dict[str, str] | None = None) -> pl.DataFrame:
    """Posteriors of evidence given by customer_id, channel, sent_on and responded; all are of one segment."""
    evidence = rows.with_row_index("number").select(
        pl.lit("a").alias("shop_id"),
        pl.lit(AS_OF).alias("as_of"),
        pl.format("m{}", "number").alias("message_id"),
        "customer_id", "channel", "sent_on", "responded",
        ordered=pl.lit(value=False), unsubscribed=pl.lit(value=False), hour_of_week=0, messages_7d=0,
    )  # fmt: skip
    everyone = rows.select(pl.col("customer_id").unique().sort())
    stated = prefer or {}
    unknown = (pl.lit(None).alias(name) for name in ("content_type", "discount_pct", "propensity", "is_delivered"))
    return channel_posteriors(
        gathered(
            MessageEvidence.conform(evidence.lazy().with_columns(unknown)),
            everyone.lazy().with_columns(segment=pl.lit("Gold")),
            AS_OF,
            settings.routing.posteriors.half_life_days,
        ),
        orders(everyone),
        pl.LazyFrame({"customer_id": list(stated), "preferred_channel": list(stated.values())}).cast(pl.String),
        everyone.lazy().with_columns(reachable_by=pl.lit("email,push,sms")),
        shop_id="a",
        as_of=AS_OF,
        shop=settings,
    )


def sent(
    customers: int, messages: int, rate: np.ndarray | float, seed: int, days: int = 200, channel: str = "email"
) -> pl.DataFrame:
    """Messages to customers c0, c1 ... on days drawn evenly."""
    rng = np.random.default_rng(seed)
    n = customers * messages
    return pl.DataFrame(
        {
            "customer_id": np.repeat([f"c{i:05d}" for i in range(customers)], messages),
            "channel": channel,
            "sent_on": [AS_OF - dt.timedelta(days=int(day)) for day in rng.integers(3, days, n)],
            "responded": rng.random(n) < np.repeat(np.broadcast_to(rate, customers), messages),
        }
    )


@pytest.mark.slow
def test_intervals_hold_the_true_rates() -> None:
    """90 % of the customers of each channel, give or take 3; the Monte Carlo error of a channel is about .4 %."""
    told = shops().filter(pl.col("n_sent") > 0)
    covered = told.group_by("channel").agg(pl.col("rate").is_between("lo", "hi").mean(), pl.len())
    assert covered["len"].min() > 3_000
    for channel, share in covered.select("channel", "rate").iter_rows():
        assert share == pytest.approx(0.9, abs=0.03), channel


@pytest.mark.slow
def test_shrinkage_beats_raw_rates_and_one_rate_for_all() -> None:
    told = shops().filter(pl.col("n_sent") > 0)

    def error(estimate: pl.Expr) -> pl.Expr:
        return ((estimate - pl.col("rate")) ** 2).mean()

    errors = told.group_by("seed", "channel").agg(
        ours=error(pl.col("mean")),
        raw=error(pl.col("n_response") / pl.col("n_sent")),
        shared=error(pl.col("shop_rate")),
    )
    assert errors.height == len(SEEDS) * 3
    assert (errors["ours"] < 0.8 * errors["raw"]).all()
    assert (errors["ours"] < 0.8 * errors["shared"]).all()


@pytest.mark.slow
def test_the_probability_of_being_best_is_calibrated() -> None:
    """Of the channels said to earn most with probability p, p do; the Monte Carlo error of a fifth is about 1 %."""
    fifths = calibration_of_the_best(shops())
    assert fifths.height == 5
    assert fifths["len"].min() > 500
    assert (fifths["p_best"] - fifths["is_best"]).abs().max() < 0.05


@pytest.mark.slow
def test_those_who_state_a_preference_are_calibrated_too() -> None:
    told = shops().filter(pl.col("n_sent") > 0)
    stated = told.filter(pl.col("preferred_channel") == pl.col("channel"))
    assert stated.height > 500
    assert stated["mean"].mean() == pytest.approx(stated["rate"].mean(), rel=0.05)
    assert stated["rate"].is_between(stated["lo"], stated["hi"]).mean() == pytest.approx(0.9, abs=0.04)


def test_a_preference_counts_until_answers_tell_otherwise() -> None:
    silent = sent(2_000, 20, np.random.default_rng(6).beta(2.0, 18.0, 2_000), seed=1)
    fresh = pl.DataFrame(
        {"customer_id": "new", "channel": "push", "sent_on": AS_OF - dt.timedelta(days=5), "responded": False}
    )
    found = planted(pl.concat([silent, fresh]), prefer={"new": "email"}).filter(pl.col("channel") == "email")
    stated, others = (found.filter(pl.col("customer_id") == name) for name in ("new", "c00000"))
    prior = others.select(pl.col("shop_rate")).item()
    assert stated["mean"].item() > 1.5 * prior
    # Half of the customers prefer e-mail and answer no more than the others.
    vain = {f"c{i:05d}": "email" for i in range(1_000)}
    found = planted(silent, prefer=vain).with_columns(vain=pl.col("customer_id").is_in(list(vain)))
    means = dict(found.group_by("vain").agg(pl.col("mean").mean()).iter_rows())
    assert means[True] == pytest.approx(means[False], rel=0.06)


def test_decayed_evidence_follows_a_changed_rate() -> None:
    """Response doubles 60 days before; what is forgotten slowly lags behind."""
    rng = np.random.default_rng(3)
    before = rng.beta(2.0, 30.0, 1_500)
    old = sent(1_500, 30, before, seed=4, days=300).filter(pl.col("sent_on") <= AS_OF - dt.timedelta(days=60))
    new = sent(1_500, 12, 2 * before, seed=5, days=60)
    rows = pl.concat([old, new])
    truth = pl.DataFrame({"customer_id": [f"c{i:05d}" for i in range(1_500)], "rate": 2 * before})

    def gap_and_error(half_life: float) -> tuple[float, float]:
        found = planted(rows, with_posteriors(half_life_days=half_life)).join(truth, on="customer_id")
        miss = (found["mean"] - found["rate"]).to_numpy()
        return float(abs(miss.mean()) / truth["rate"].to_numpy().mean()), float((miss**2).mean())

    gap, error = gap_and_error(30.0)
    lagging_gap, lagging_error = gap_and_error(10_000.0)
    assert gap < 0.12
    assert lagging_gap > 0.3
    assert error < 0.85 * lagging_error


def test_night_by_night_is_the_same_as_all_at_once() -> None:
    shop = lived(customers=300)
    slices: list[pl.LazyFrame] = []
    for back in range(20, -1, -1):
        slices.append(shop.slice(shop.as_of - dt.timedelta(days=back), newest_day(slices)).lazy())
    no_ledger = pl.LazyFrame(schema={"idempotency_key": pl.String, "event": pl.String})
    by_night = posteriors(shop, whole(slices, no_ledger).collect())
    everything = shop.slice()
    assert by_night.equals(posteriors(shop, everything))
    assert by_night.equals(posteriors(shop, everything.sample(fraction=1, shuffle=True, seed=1)))


def test_each_row_is_a_posterior_of_its_evidence() -> None:
    shop = lived(customers=300)
    evidence = shop.slice().filter(pl.col("channel") != "push")
    found = posteriors(shop, evidence)
    ChannelPosteriors.require(found)
    # No row for a channel without evidence or one that is not enabled; every customer has the others.
    assert found.select(BY).rows() == [
        (name, channel) for name in sorted(shop.truth["customer_id"]) for channel in ("email", "sms")
    ]
    without = found.filter(pl.col("n_sent") == 0)
    assert (without["borrowed"] == 1).all()
    assert (without["n_effective"] == 0).all()
    counts = evidence.group_by(BY).agg(sent=pl.len(), responses=pl.col("responded").sum())
    told = found.join(counts, on=BY)
    assert told.height == found.height - without.height
    assert (told["n_sent"] == told["sent"]).all()
    assert (told["n_response"] == told["responses"]).all()
    prior = (found["alpha"] + found["beta"] - found["n_effective"]).to_numpy()
    assert found["borrowed"].to_numpy() == pytest.approx(prior / (prior + found["n_effective"].to_numpy()))
    consented = {channel: set(shop.truth.filter(f"consent_{channel}")["customer_id"]) for channel in ("email", "sms")}
    for name, channel, chance in found.select(*BY, "p_best").iter_rows():
        assert (chance is not None) == (name in consented[channel])


def test_numbers_are_those_recomputed_by_hand() -> None:
    """The statement of docs/posteriors.md, and what it says of alpha and beta."""
    shop = lived(customers=300)
    statement = re.findall("```sql\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)[0]
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA models")
        connection.register("rows", shop.slice())
        connection.execute("CREATE TABLE models.message_evidence_history AS SELECT * FROM rows")
        by_hand = connection.sql(statement.replace("2025-12-31", str(shop.as_of))).pl()
    found = posteriors(shop, shop.slice())
    told = found.join(by_hand, on=BY, suffix="_hand")
    assert told.height == found.filter(pl.col("n_sent") > 0).height
    for name in ("n_sent", "n_response", "n_effective"):
        assert told[name].to_numpy() == pytest.approx(told[f"{name}_hand"].cast(pl.Float64).to_numpy(), rel=1e-9)
    nobody = shop.customers.filter(pl.col("preferred_channel").is_not_null()).select("customer_id").collect()
    priors = (
        found.filter(pl.col("n_sent") == 0)
        .join(nobody, on="customer_id", how="anti")
        .group_by("channel", "segment")
        .agg(mu=(pl.col("alpha") / (pl.col("alpha") + pl.col("beta"))).first())
    )
    checked = told.join(nobody, on="customer_id", how="anti").join(priors, on=["channel", "segment"])
    kappa = pl.col("n_effective") * pl.col("borrowed") / (1 - pl.col("borrowed"))
    alpha = checked.select(kappa * pl.col("mu") + pl.col("x_effective")).to_series()
    assert checked.height > 100
    assert checked["alpha"].to_numpy() == pytest.approx(alpha.to_numpy(), rel=1e-9)


def test_a_message_earns_what_orders_bring_less_what_it_costs() -> None:
    shop = lived(customers=300)
    costly = with_posteriors(unsubscribe_cost=40.0)
    for settings, leaving in ((SHOP, MARGIN), (costly, 40.0)):
        found = posteriors(shop, shop.slice(), settings)
        cost = {name: channel.cost for name, channel in SHOP.routing.channels.items()}
        earned = found.select(
            pl.col("mean") * pl.col("order_rate") * MARGIN
            - pl.col("channel").replace_strict(cost)
            - pl.col("unsubscribe_rate") * leaving
        ).to_series()
        assert found["expected_margin"].to_numpy() == pytest.approx(earned.to_numpy())


def test_without_evidence_there_are_no_rows() -> None:
    shop = lived(customers=300)
    assert posteriors(shop, MessageEvidence.empty()).equals(ChannelPosteriors.empty())


def test_accounts_of_a_profile_state_one_preference() -> None:
    customers = pl.LazyFrame(
        {
            "customer_id": ["p", "p", "p", "q"],
            "account": ["p", "b", "c", "q"],
            "created_at": [dt.date(2020, 1, 1), dt.date(2022, 1, 1), dt.date(2021, 1, 1), None],
            "preferred_channel": [None, "sms", "email", None],
        }
    )
    assert preferences(customers).collect().rows() == [("p", "email")]


def test_chances_to_be_best_are_those_of_the_distributions() -> None:
    shapes = np.array([[2.0, 3.0, 0.4], [30.0, 20.0, 10.0], [160.0, 130.0, 1.0]])
    others = np.array([[20.0, 25.0, 3.0], [300.0, 250.0, 90.0], [900.0, 800.0, 50.0]])
    worth, cost = np.array([10.0, 12.0, 20.0]), np.array([0.1, 0.2, 0.0])
    allowed = np.array([[True, True, False], [True, True, True], [True, False, True]])
    ones = np.ones((3, 1))
    keys = random_keys(pl.Series("customer_id", ["a", "b", "c"]), "shop", "table", 0)
    draws = 40_000
    found = chances_to_be_best(shapes, others, ones * worth, ones * cost, allowed, keys, draws)
    grid = np.linspace(-0.5, 20, 200_001)
    for i in range(3):
        laws = [stats.beta(shapes[i, c], others[i, c], loc=-cost[c], scale=worth[c]) for c in range(3)]
        for c in range(3):
            if not allowed[i, c]:
                assert found[i, c] == 0
                continue
            below = np.prod([laws[o].cdf(grid) for o in range(3) if o != c and allowed[i, o]], axis=0)
            # Monte Carlo error of 40 000 draws: .25 %.
            assert found[i, c] == pytest.approx(
                np.sum(np.diff(laws[c].cdf(grid)) * (below[1:] + below[:-1]) / 2), abs=0.01
            )
    order = np.array([2, 0, 1])
    moved = chances_to_be_best(
        shapes[order], others[order], ones * worth, ones * cost, allowed[order], keys[order], draws
    )
    assert (moved == found[order]).all()


def test_random_keys_are_stable() -> None:
    ids = pl.Series("customer_id", ["a", "b"])
    assert (
        random_keys(ids, "shop", "table", 0).tolist() == random_keys(ids.reverse(), "shop", "table", 0)[::-1].tolist()
    )
    assert len({key for seed in (0, 1) for key in random_keys(ids, "shop", "table", seed).tolist()}) == 4
