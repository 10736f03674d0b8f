"""Decisions where a hundred messages - 20 offers on 5 channels - compete for each customer, with what the models know of each,
exploration and the whole trace, up to the validated and published table; and the naive way row by row.

The naive way decides a sample, without exploration and without a trace. With the share of exploration set to 0 both must send
the same to each customer of the sample, at the same expected value. Its time for all customers is its time per customer times
their number.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.decisions import AS_OF, SHOP, SHOP_ID, generate, given_in, sources_of
from bench.harness import measure, table
from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch.decisions import Decisions, decide
from lifecycle_assets.dispatch.knowledge import READS, Knowledge
from lifecycle_assets.dispatch.profile import profiles
from lifecycle_assets.settings import Shop, parse
from lifecycle_assets.settings.shipped import PROGRAMMES
from resources.warehouse.lake import Lake

TITLE = "Deciding between a hundred messages"
SAMPLE = 2_000
CHANNELS = ["email", "sms", "push", "whatsapp", "in_app"]
TIERS = [0, 5, 10, 15, 20]
CONTENTS = ["winback", "welcome", "vip", "upgrade"]
PRIORITIES = {content: 5 + number for number, content in enumerate(CONTENTS)}
SHOP_RATE, SHOP_SENT, ORDER_RATE, UNSUBSCRIBE_RATE = 0.05, 10_000, 0.4, 0.001
COST, RATE, MARGIN, PRIOR_MESSAGES, CAUSED = 0.01, 0.02, 0.3, 200, 0.5


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """The section of the report, for a tenth of `sizes` customers; raises AssertionError where the two ways disagree."""
    del memory_limit  # the SQL engine has no part in it
    rows = []
    for size in sizes:
        customers = size // 10
        folder = work / f"arms_{customers}"
        generate(folder, customers)
        generate_knowledge(folder)
        ours = measure("bench.arms:ours", folder=str(folder), share=0.2)
        measure("bench.arms:ours", folder=str(folder), share=0.0)
        naive = measure("bench.arms:naive", folder=str(folder))
        whole = naive.seconds * customers / min(SAMPLE, customers)
        rows.append(
            [
                f"{customers:,}",
                f"{ours.value['sends']:,}",
                f"{ours.seconds:.1f} s ({ours.cpu_seconds:.1f} s CPU), {ours.peak_gb:.1f} GB",
                f"{ours.value['decided']:.1f} s",
                f"{whole:.0f} s",
                f"{whole / ours.seconds:.0f} x",
                f"{assert_same(folder):,} equal",
            ]
        )
    header = [
        "customers",
        "messages",
        "this project",
        "of which deciding",
        "row by row (from a sample)",
        "faster",
        "compared",
    ]
    return table(header, rows)


def shop_of(share: float) -> Shop:
    """A shop of one programme for everyone, whose 20 offers compete on 5 channels."""
    offers = {f"{content}_{tier}": (content, tier) for content in CONTENTS for tier in TIERS}
    lines = [
        "routing:",
        f"  exploration: {{share: {share}}}",
        f"  assume_consent: [{', '.join(CHANNELS)}]",
        "  channels:",
        *(
            f"    {name}: {{enabled: true, cost: {COST}, explicit_consent: false, addressed_by: customer_id, "
            "needs_template: false}"
            for name in CHANNELS
        ),
        "  offers:",
        *(
            f"    {name}: {{name: x, content_type: {content}, discount_pct: {tier}, priority: {PRIORITIES[content]}}}"
            for name, (content, tier) in offers.items()
        ),
        "  programmes:",
        *(f"    {name}: {{enabled: false}}" for name in PROGRAMMES),
        "    always:",
        "      when: {field: visit_frequency, op: '>=', value: 1}",
        f"      steps: [{{channels: [{', '.join(CHANNELS)}], offers: [{', '.join(offers)}], response_rate: {RATE}}}]",
    ]
    return parse(Shop, SHOP + "\n" + "\n".join(lines), "bench")


def generate_knowledge(folder: Path) -> None:
    """Write what the models know: each customer's response on each channel, to each content and at each tier. Everybody may be
    written to on every channel."""
    pl.read_parquet(folder / "consents.parquet").clear().write_parquet(folder / "consents.parquet")
    customers = pl.read_parquet(folder / "customers.parquet").with_columns(consent_email=pl.lit(value=True))
    customers.write_parquet(folder / "customers.parquet")
    ids = customers.get_column("customer_id")
    rng = np.random.default_rng(1)

    def rows(by: str, names: Sequence[str | float], **columns: Any) -> pl.DataFrame:
        parts = [
            pl.DataFrame({"customer_id": ids, **{name: draw() for name, draw in columns.items()}}).with_columns(
                pl.lit(kind).alias(by)
            )
            for kind in names
        ]
        return pl.concat(parts).sort("customer_id", by)

    alpha, beta = pl.col("alpha"), pl.col("beta")
    channels = rows(
        "channel", CHANNELS, alpha=lambda: rng.gamma(2, 1, len(ids)) + 0.1, beta=lambda: rng.gamma(4, 10, len(ids)) + 5
    ).with_columns(
        mean=alpha / (alpha + beta),
        shop_rate=pl.lit(SHOP_RATE),
        shop_sent=pl.lit(SHOP_SENT),
        order_rate=pl.lit(ORDER_RATE),
        unsubscribe_rate=pl.lit(UNSUBSCRIBE_RATE),
    )
    spread = {
        "multiplier": lambda: np.exp(rng.normal(0, 0.3, len(ids))),
        "multiplier_sd": lambda: np.full(len(ids), 0.3),
    }
    tiers = rows("tier", [*map(float, TIERS), 25.0], **spread).rename({"customer_id": "unit", "multiplier": "lift"})
    given = {
        "channel_posteriors": channels,
        "nba_scores": rows("content_type", CONTENTS, **spread, n_sent=lambda: np.full(len(ids), SHOP_SENT)),
        "discount_posteriors": tiers.with_columns(level=pl.lit("customer")),
    }
    for contract in READS:
        frame = given.get(contract.table, contract.empty())
        frame.with_columns(
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
            for name, kind in contract.polars_schema.items()
        ).select(list(contract.columns)).write_parquet(folder / f"known_{contract.table}.parquet")


def ours(folder: str, share: float) -> dict[str, Any]:
    """From Parquet to the published table."""
    work = Path(folder)
    shop, given = shop_of(share), given_in(work)
    sent = ledgers.sent(given["ledger"], [])
    people = profiles(sources_of(given, sent), as_of=AS_OF, shop=shop)
    models = Knowledge(**{c.table: pl.scan_parquet(work / f"known_{c.table}.parquet") for c in READS})
    started = time.perf_counter()
    decided = decide(people, shop_id=SHOP_ID, as_of=AS_OF, shop=shop, used={}, knowledge=models)
    seconds = time.perf_counter() - started
    del people
    sends = decided.filter(action="send").height
    lake = Lake(work / f"arms-home-{time.time_ns()}" / "warehouse", [Decisions])
    lake.write(Decisions, SHOP_ID, AS_OF, decided)
    kept = ("customer_id", "channel", "offer_id", "expected_value")
    lake.scan(Decisions, SHOP_ID).select(kept).sink_parquet(work / "arms_ours.parquet")
    return {"sends": sends, "decided": seconds}


def naive(folder: str) -> None:
    """The best arm of the first SAMPLE customers, one customer and one arm after the other."""
    work = Path(folder)
    features = pl.read_parquet(work / "customer_features.parquet").sort("customer_id").head(SAMPLE)
    ids = features["customer_id"].implode()

    def by_customer(name: str, customer: str, *by: str) -> dict[tuple[Any, ...], Any]:
        frame = pl.scan_parquet(work / f"known_{name}.parquet").filter(pl.col(customer).is_in(ids)).collect()
        return {tuple(row[key] for key in (customer, *by)): row for row in frame.to_dicts()}

    channels = by_customer("channel_posteriors", "customer_id", "channel")
    contents = by_customer("nba_scores", "customer_id", "content_type")
    tiers = by_customer("discount_posteriors", "unit", "tier")
    worth = pl.col("avg_ticket").cast(pl.Float64) * MARGIN
    typical = pl.scan_parquet(work / "customer_features.parquet").select(worth.median()).collect().item()
    ascribed = SHOP_SENT * SHOP_RATE * ORDER_RATE
    base = (PRIOR_MESSAGES * RATE + ascribed) / (PRIOR_MESSAGES + SHOP_SENT)
    caused = (PRIOR_MESSAGES * RATE + CAUSED * ascribed) / (PRIOR_MESSAGES * RATE + ascribed)
    best: list[tuple[str, str | None, str | None]] = []
    for person in features.iter_rows(named=True):
        customer, ticket = person["customer_id"], float(person["avg_ticket"])
        highest, arm = 0.0, (None, None)
        few = []
        for channel in CHANNELS:
            for content in CONTENTS:
                for tier in TIERS:
                    response = base * channels[customer, channel]["mean"] / SHOP_RATE
                    response *= contents[customer, content]["multiplier"] * tiers[customer, float(tier)]["lift"]
                    response = min(response, 1.0)
                    value = response * ticket * (caused * MARGIN - tier / 100) - COST
                    value -= UNSUBSCRIBE_RATE * ticket * MARGIN
                    if value > 0:
                        order = value / response
                        score = response * order / (order + typical) * PRIORITIES[content] / 10
                        few.append((value, score, channel, f"{content}_{tier}"))
        few.sort(key=lambda one: -one[0])
        leaders = [next(one for one in few if one[2] == channel) for channel in {one[2] for one in few}]
        for _, score, channel, offer in [*leaders, *(one for one in few if one not in leaders)][:8]:
            if score > highest:
                highest, arm = score, (channel, offer)
        best.append((customer, *arm))
    schema = ["customer_id", "channel", "offer_id"]
    pl.DataFrame(best, schema=schema, orient="row").write_parquet(work / "arms_naive.parquet")


def assert_same(folder: Path) -> int:
    """How many customers' messages were compared; raises AssertionError where one differs."""
    theirs = pl.read_parquet(folder / "arms_naive.parquet").filter(pl.col("offer_id").is_not_null())
    own = pl.read_parquet(folder / "arms_ours.parquet").filter(pl.col("expected_value").is_not_null())
    both = theirs.join(own, on="customer_id", suffix="_own")
    assert both.height == own.join(theirs, on="customer_id", how="semi").height
    same = (pl.col("channel") == pl.col("channel_own")) & (pl.col("offer_id") == pl.col("offer_id_own"))
    assert both.select(same.all()).item(), "the two ways disagree"
    return both.height
