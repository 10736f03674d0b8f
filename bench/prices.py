"""Prices: every step from price history to advice, and the elasticities of all products in one pass next to a library fitted
product by product."""

import datetime as dt
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from bench.harness import measure, table
from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs.contracts import OrderLines, PriceHistory, Products
from lifecycle_assets.models.demand_kernel import fit_products
from lifecycle_assets.models.prices import demand_days, demand_races, prices
from lifecycle_assets.settings import Prices

TITLE = "Prices"
AS_OF = dt.date(2024, 12, 31)
DAYS = 400
# So many products for a million order lines of the other sections.
PRODUCTS_PER_MILLION = 1_000
# The library is fitted to these only, and its time multiplied.
SAMPLE = 50
ELASTICITY, BASE, COST = -2.0, 10.0, 10.0


def section(_work: Path, sizes: Sequence[int], _memory_limit: str) -> str:
    """The section of the report; raises AssertionError where the two ways disagree."""
    rows = []
    for size in sizes[:1]:
        products = max(SAMPLE, size * PRODUCTS_PER_MILLION // 1_000_000)
        night = measure("bench.prices:night", products=products)
        race = measure("bench.prices:race", products=products).value
        assert race["apart"] < 1e-3, f"the two ways disagree: {race}"
        faster = race["library"] / race["ours"]
        rows.append(
            [
                f"{products:,}",
                f"{night.value['seconds']:.1f} s, {night.peak_gb:.1f} GB",
                f"{night.value['advised']:,}",
                f"{race['ours']:.2f} s, intervals included",
                f"{race['library']:.1f} s (from {SAMPLE}; {faster:.0f} x)",
                "coefficients equal to 0.001",
            ]
        )
    header = [
        "products",
        "history to advice",
        "advised",
        "elasticities in one pass",
        "scikit-learn Poisson, one by one",
        "results",
    ]
    return "\n\n".join([f"{DAYS} days of prices and units per product.", table(header, rows)])


def night(products: int) -> dict[str, float]:
    """Seconds from price history to advice, compiled code loaded, and how many products got a price."""
    catalogue = pl.DataFrame({"product_id": _names(products)}).with_columns(unit_cost=pl.lit(COST))
    no_lines, settings = OrderLines.empty().lazy(), Prices()

    def advice(history: pl.LazyFrame) -> pl.DataFrame:
        days = demand_days(history, no_lines, "US", AS_OF, settings)
        races, goods = demand_races(days, "bench", 0), _filled(Products, catalogue)
        known = {"shop": "bench", "country": "US", "as_of": AS_OF, "settings": settings, "seed": 0}
        return prices(days, races, no_lines, goods, **known)[0]

    advice(_filled(PriceHistory, _history(2)))
    history = _filled(PriceHistory, _history(products)).collect().lazy()
    started = time.perf_counter()
    recommendations = advice(history)
    return {"seconds": time.perf_counter() - started, "advised": recommendations["best_price"].count()}


def race(products: int) -> dict[str, float]:
    """Seconds of both ways for all products, and how far their elasticities are apart at most."""
    from sklearn.linear_model import PoissonRegressor

    history = _history(products)
    day = np.tile(np.arange(DAYS), products)
    columns = [history["price"].log().to_numpy(), day / 365, *(day % 7 == weekday for weekday in range(6))]
    design = np.column_stack([np.ones(day.size), *columns])
    units, starts = history["units_sold"].to_numpy(), np.arange(products + 1) * DAYS
    fit_products(starts[:2], design[:DAYS], units[:DAYS], 0.0)
    started = time.perf_counter()
    ours = fit_products(starts, design, units, 0.0)[0][:, 1]
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    theirs = [
        PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-8).fit(design[a:b, 1:], units[a:b]).coef_[0]
        for a, b in pairwise(starts[: SAMPLE + 1])
    ]
    library = (time.perf_counter() - started) * products / SAMPLE
    return {"ours": seconds, "library": library, "apart": float(np.abs(ours[:SAMPLE] - theirs).max())}


def _history(products: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    log_price = np.repeat(rng.choice(np.linspace(-0.2, 0.2, 9), (products, -(-DAYS // 7))), 7, axis=1)[:, :DAYS]
    rhythm = np.array([0, 0, 0.1, 0.1, 0.3, 0.5, -0.2])[np.arange(DAYS) % 7]
    units = rng.poisson(BASE * np.exp(ELASTICITY * log_price + rhythm))
    return pl.DataFrame(
        {
            "product_id": np.repeat(_names(products), DAYS),
            "age": np.tile(np.arange(DAYS)[::-1], products),
            "price": (20 * np.exp(log_price)).round(2).ravel(),
            "units_sold": units.astype(float).ravel(),
        }
    ).select("product_id", "price", "units_sold", date=pl.lit(AS_OF) - pl.duration(days=pl.col("age")))


def _names(products: int) -> list[str]:
    return [f"p{number:06d}" for number in range(products)]


def _filled(contract: Contract, frame: pl.DataFrame) -> pl.LazyFrame:
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in frame.columns]
    return contract.conform(frame.with_columns(absent).lazy())
