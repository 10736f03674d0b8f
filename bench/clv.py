"""Customer lifetime value: fit and forecast of three horizons, discounted by month, beside the package lifetimes."""

# ruff: noqa: N806 - T is the models' own name of the time observed

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

# Imports are not measured; the models import these two where they are needed.
import scipy.optimize
import scipy.special  # noqa: F401

from bench.harness import Measured, measure, table
from lifecycle_assets.models import btyd_value
from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.models.gamma_gamma import GammaGamma
from lifecycle_assets.models.pareto_nbd import ParetoNbd

TITLE = "Customer lifetime value"
SIZES = (100_000, 1_000_000)
MONTHS = (6, 12, 36)
ANNUAL_RATE = 0.10


def section(work: Path, _sizes: Sequence[int], _memory_limit: str) -> str:
    """The section of the report; raises AssertionError where the two disagree."""
    rows = []
    for size in SIZES:
        source = work / f"buyers_{size}.parquet"
        buyers(source, size)
        arguments = {"source": str(source)}
        means = measure("bench.clv:ours", model="bg_nbd", intervals=False, **arguments)
        whole = measure("bench.clv:ours", model="bg_nbd", intervals=True, **arguments)
        pareto = measure("bench.clv:ours", model="pareto_nbd", intervals=True, **arguments)
        rival = measure("bench.clv_lifetimes:lifetimes_way", **arguments)
        np.testing.assert_allclose(means.value["parameters"], rival.value["parameters"], rtol=2e-3)
        np.testing.assert_allclose(means.value["purchases"], rival.value["purchases"], rtol=1e-3)
        rows += [
            [f"{size:,}", "this project, BG/NBD: fit, values, discounted", _cell(means), _ratio(rival, means)],
            [f"{size:,}", "the same with 80 % intervals", _cell(whole), _ratio(rival, whole)],
            [f"{size:,}", "this project, Pareto/NBD: all of it", _cell(pareto), _ratio(rival, pareto)],
            [f"{size:,}", "lifetimes, BG/NBD: the same", _cell(rival), ""],
        ]
        print("\n".join(" | ".join(row) for row in rows[-4:]), flush=True)
    return "\n\n".join(
        [
            "Buying and spending models fitted, and the value of every customer forecast for 6, 12 and 36 months. Parameters "
            "agree to 0.2 %, expected purchases in total to 0.1 %. Memory is that of the process with its libraries.",
            table(["customers", "what", "time", "faster"], rows),
        ]
    )


def buyers(target: Path, n: int) -> None:
    """Write customers drawn from the BG/NBD and gamma-gamma models, two years, in whole days and cents."""
    rng = np.random.default_rng(7)
    T = rng.integers(30, 730, n).astype(np.float64)
    rate, leaving, nu = rng.gamma(0.9, 1 / 60.0, n), rng.beta(0.8, 2.5, n), rng.gamma(4.0, 1 / 15.0, n)
    frequency, recency, time_, going = np.zeros(n), np.zeros(n), np.zeros(n), np.arange(n)
    while going.size:
        time_[going] += rng.exponential(1 / rate[going])
        going = going[time_[going] <= T[going]]
        frequency[going] += 1
        recency[going] = np.ceil(time_[going])
        going = going[rng.random(going.size) >= leaving[going]]
    occasions = np.maximum(frequency, 1)
    mean = np.where(frequency > 0, np.maximum(rng.gamma(6 * occasions, 1 / (nu * occasions)), 0.01), 0.0).round(2)
    frame = pl.DataFrame({"frequency": frequency, "recency": np.minimum(recency, T), "T": T, "mean": mean})
    frame.write_parquet(target)


def ours(source: str, model: str, *, intervals: bool) -> dict[str, Any]:
    """Fit and forecast; without intervals only what lifetimes computes too."""
    columns = [pl.read_parquet(source)[name].to_numpy() for name in ("frequency", "recency", "T", "mean")]
    frequency, recency, T, mean = columns
    fitted = {"bg_nbd": BgNbd, "pareto_nbd": ParetoNbd}[model].fit(frequency, recency, T)
    spend = GammaGamma.fit(frequency, mean)
    if intervals:
        purchases = btyd_value.value_forecast(fitted, spend, *columns, months=MONTHS).purchases
    else:
        ahead = btyd_value.purchases_if_alive(fitted, frequency, T, MONTHS, ANNUAL_RATE)
        ahead *= fitted.probability_alive(frequency, recency, T)[:, None]
        values = ahead * spend.expected_spend(frequency, mean)[:, None]
        assert np.isfinite(values).all()
        purchases = ahead[:, : len(MONTHS)]
    return {
        "parameters": [fitted.r, fitted.alpha, spend.p, spend.q, spend.v],
        "purchases": purchases.sum(axis=0).tolist(),
    }


def _cell(measured: Measured) -> str:
    return f"{measured.seconds:.1f} s ({measured.cpu_seconds:.1f} s CPU), {measured.peak_gb:.2f} GB"


def _ratio(rival: Measured, measured: Measured) -> str:
    return f"{rival.cpu_seconds / measured.cpu_seconds:.1f} x CPU, {rival.seconds / measured.seconds:.1f} x"
