"""What customers respond to: the evidence of all messages ever sent, and every table of posteriors from it.

The naive way goes through the customers one by one with pandas and scipy, for a sample of them: weights, the effective counts
and the interval of each channel and the draws behind p_best, with a prior that is given. Its time for all customers is its time
per customer times their number. Its figures must agree with those of models.channel_posteriors.
"""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.harness import measure, table
from lifecycle_assets.models.cadence_posteriors import cadence_posteriors
from lifecycle_assets.models.channel_posteriors import DRAWS, channel_posteriors
from lifecycle_assets.models.discount_posteriors import discount_posteriors
from lifecycle_assets.models.evidence import gathered
from lifecycle_assets.models.message_evidence import message_evidence
from lifecycle_assets.models.nba_scores import nba_scores
from lifecycle_assets.models.response_cells import expected_rates
from lifecycle_assets.models.send_time_posteriors import send_time_posteriors
from lifecycle_assets.settings import Shop

TITLE = "Posteriors"
MESSAGES_EACH, BLOCK, SAMPLE, DAYS = 50, 2_500_000, 1_000, 400
CHANNELS, CONTENTS = ("email", "push", "sms"), ("news", "winback", "welcome")
TIERS = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
SEGMENTS = ("At-Risk", "Bronze", "Gold", "Platinum", "Silver")
AS_OF = dt.date(2025, 6, 30)
SHOP = Shop.model_validate(
    {
        "name": "Bench",
        "timezone": "Europe/Madrid",
        "currency": "EUR",
        "country": "ES",
        "input": "x",
        "routing": {"channels": {"push": {"enabled": True}, "sms": {"enabled": True}}},
    }
)
KEYS: dict[str, Any] = {"shop_id": "bench", "as_of": AS_OF}


def section(work: Path, sizes: Sequence[int], _memory_limit: str) -> str:
    """The section of the report, for as many messages as order lines were asked for."""
    parts = []
    for messages in sizes:
        folder = str(work / f"messages-{messages}")
        generate(Path(folder), messages)
        customers = messages // MESSAGES_EACH
        derived = measure("bench.posteriors:derive", folder=folder)
        made = measure("bench.posteriors:tables", folder=folder)
        rival = measure("bench.posteriors:rival", folder=folder)
        each = rival.value["seconds"] / rival.value["customers"]
        rows = [
            [
                "evidence of the first night",
                *_figures(derived.seconds, derived.cpu_seconds),
                f"{derived.peak_gb:.1f} GB",
                "",
            ]
        ]
        for name, (seconds, busy) in made.value.items():
            naive = f"{each * customers / seconds:,.0f} x" if name == "models.channel_posteriors" else ""
            rows.append([name, *_figures(seconds, busy), "", naive])
        total = [sum(figures) for figures in zip(*made.value.values(), strict=True)]
        rows.append(["all posteriors", *_figures(*total), f"{made.peak_gb:.1f} GB", ""])
        parts += [
            f"{customers:,} customers, {messages:,} messages on {len(CHANNELS)} channels; the naive way takes "
            f"{1_000 * each:.1f} ms a customer, {each * customers:,.0f} s for all (from {SAMPLE:,}).",
            table(["what", "time", "processor", "memory", "the naive way takes"], rows),
        ]
    return "\n\n".join(parts)


def generate(folder: Path, messages: int) -> None:
    """raw.engagement in parts, the customers beside it."""
    if (folder / "customers.parquet").exists():
        return
    (folder / "engagement").mkdir(parents=True, exist_ok=True)
    customers = messages // MESSAGES_EACH
    rng = np.random.default_rng(0)
    names = pl.select(pl.format("C{}", pl.int_range(customers).cast(pl.String).str.zfill(8))).to_series()
    for part, first in enumerate(range(0, messages, BLOCK)):
        _sent(names, first, min(BLOCK, messages - first), rng).write_parquet(
            folder / "engagement" / f"{part:04d}.parquet"
        )
    segment = pl.Series(rng.integers(0, len(SEGMENTS), customers)).replace_strict(dict(enumerate(SEGMENTS)))
    reachable = pl.Series(rng.integers(0, 4, customers)).replace_strict(
        {0: "email", 1: "email,push", 2: "email,push,sms", 3: "push,sms"}
    )
    pl.DataFrame(
        {
            "customer_id": names,
            "segment": segment,
            "reachable_by": reachable,
            "preferred_channel": pl.Series(rng.random(customers) < 0.1).replace_strict({True: "push"}, default=None),
            "avg_ticket": rng.gamma(2.0, 30.0, customers),
        }
    ).with_columns(
        purchase_total=pl.col("avg_ticket") * 4,
        margin_total=pl.col("avg_ticket") * 1.2,
        timezone=pl.lit(None, pl.String),
    ).write_parquet(folder / "customers.parquet")


def derive(folder: str) -> int:
    """models.message_evidence of a first night, kept in the folder for the others."""
    engagement = pl.scan_parquet(Path(folder) / "engagement" / "*.parquet")
    lines = pl.LazyFrame(
        schema={
            "message_id": pl.String,
            "status": pl.String,
            "quantity": pl.Float64,
            "ordered_at": pl.Datetime("us", "UTC"),
        }
    )
    rows = message_evidence(engagement, lines, _customers(folder), **KEYS, shop=SHOP, after=None)
    rows.sink_parquet(Path(folder) / "evidence.parquet", compression="zstd", row_group_size=122_880)
    return _evidence(folder).select(pl.len()).collect().item()


def tables(folder: str) -> dict[str, tuple[float, float]]:
    """Seconds and processor seconds of each step, without the compilation of kernels; the tables are kept in the folder."""
    everyone = _customers(folder).collect()
    _made(_evidence(folder).head(5_000), everyone.head(1_000), folder)
    return _made(_evidence(folder), everyone, folder)


def rival(folder: str) -> dict[str, float]:
    """The naive way; raises AssertionError where its figures differ from ours."""
    from scipy import stats

    found = pl.read_parquet(Path(folder) / "channel_posteriors.parquet").filter(pl.col("n_sent") > 0)
    names = found["customer_id"].unique(maintain_order=True).head(SAMPLE)
    ours = found.filter(pl.col("customer_id").is_in(names.implode())).to_pandas().set_index(["customer_id", "channel"])
    evidence = _evidence(folder).filter(pl.col("customer_id").is_in(names.implode())).collect().to_pandas()
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    rows = {}
    for name, messages in evidence.groupby("customer_id"):
        draws = {}
        for channel, sent in messages.groupby("channel"):
            prior = ours.loc[(name, channel)]
            kappa = prior["alpha"] + prior["beta"] - prior["n_effective"]
            weight = 0.5 ** ((np.datetime64(AS_OF) - sent["sent_on"]).dt.days / SHOP.routing.posteriors.half_life_days)
            n = weight.sum() ** 2 / (weight**2).sum()
            x = n * (weight * sent["responded"]).sum() / weight.sum()
            mean = (prior["alpha"] - x) / kappa
            alpha, beta = kappa * mean + x, kappa * (1 - mean) + n - x
            rows[name, channel] = (n, *stats.beta.ppf([0.05, 0.95], alpha, beta))
            draws[channel] = stats.beta.rvs(alpha, beta, size=DRAWS, random_state=rng)
        np.argmax(np.stack(list(draws.values())), axis=0)
    seconds = time.perf_counter() - started
    theirs = np.array([rows[key] for key in ours.index])
    assert np.allclose(ours[["n_effective", "lo", "hi"]], theirs, rtol=2e-3, atol=1e-6)
    return {"seconds": seconds, "customers": names.len()}


def _sent(names: pl.Series, first: int, n: int, rng: np.random.Generator) -> pl.DataFrame:
    """Messages numbered from `first`, to customers drawn evenly, in the last DAYS days."""
    who = rng.integers(0, names.len(), n)
    # A customer's own rate, the same in all parts.
    rate = 0.02 + 0.2 * ((who * 2_654_435_761) % 1_000) / 1_000
    begun = int(dt.datetime(AS_OF.year, AS_OF.month, AS_OF.day, tzinfo=dt.UTC).timestamp()) - DAYS * 86_400
    clicked, ordered, left = rng.random(n) < rate, rng.random(n) < 0.01, rng.random(n) < 0.002

    def drawn(values: Sequence[Any]) -> pl.Series:
        return pl.Series(rng.integers(0, len(values), n)).replace_strict(dict(enumerate(values)))

    def later(happened: np.ndarray, minutes: int) -> pl.Expr:
        return pl.when(pl.Series(happened)).then(pl.col("sent_at") + pl.duration(minutes=minutes))

    rows = pl.DataFrame({"second": begun + rng.integers(0, DAYS * 86_400, n)}).with_columns(
        message_id=pl.format("M{}", pl.int_range(first, first + n).cast(pl.String).str.zfill(9)),
        customer_id=names.gather(who),
        channel=drawn(CHANNELS),
        content_type=drawn(CONTENTS),
        discount_pct=drawn(TIERS),
        propensity=pl.lit(1 / (len(CHANNELS) * len(CONTENTS) * len(TIERS))),
        sent_at=pl.from_epoch("second").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
    )
    return rows.drop("second").with_columns(
        delivered_at="sent_at",
        clicked_at=later(clicked, 20),
        converted_at=later(ordered, 40),
        unsubscribed_at=later(left, 1),
    )


def _evidence(folder: str) -> pl.LazyFrame:
    return pl.scan_parquet(Path(folder) / "evidence.parquet")


def _customers(folder: str) -> pl.LazyFrame:
    return pl.scan_parquet(Path(folder) / "customers.parquet")


def _made(messages: pl.LazyFrame, everyone: pl.DataFrame, folder: str) -> dict[str, tuple[float, float]]:
    """What the asset does, step by step."""
    routing, customers = SHOP.routing, everyone.lazy()
    orders = pl.LazyFrame(schema={"customer_id": pl.String, "ordered_on": pl.Date, "hour": pl.Int64})
    figures = {}

    def timed(name: str, make: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        started, busy = time.perf_counter(), time.process_time()
        made = make(*arguments, **named)
        figures[name] = time.perf_counter() - started, time.process_time() - busy
        if isinstance(made, pl.DataFrame):
            made.write_parquet(Path(folder) / f"{name.removeprefix('models.')}.parquet")
        return made

    half_life_days = routing.posteriors.half_life_days
    evidence = timed("reading the evidence", gathered, messages, customers, AS_OF, half_life_days)
    others = customers, customers, customers
    name = "models.channel_posteriors"
    responses = timed(name, channel_posteriors, evidence, *others, **KEYS, shop=SHOP)
    rates = timed("rates", expected_rates, responses.lazy(), evidence.customers)
    del responses
    keys = {**KEYS, "routing": routing}
    timed("models.send_time_posteriors", send_time_posteriors, evidence, rates, orders, **keys)
    timed("models.discount_posteriors", discount_posteriors, evidence, rates, customers, **keys)
    timed("models.nba_scores", nba_scores, evidence, rates, **keys)
    timed("models.cadence_posteriors", cadence_posteriors, evidence, rates, **keys)
    return figures


def _figures(seconds: float, busy: float) -> list[str]:
    return [f"{seconds:.1f} s", f"{busy:.1f} s"]
