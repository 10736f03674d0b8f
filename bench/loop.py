"""Does the regret fall night by night, and does the holdout tell what the messages truly bring?

Thirty nights of a simulated shop are run as every night is: posteriors, decisions, files, and what the customers make of the
messages is tomorrow's input. Regret is the share of what an oracle would have earned with the same customers that the policy
did not earn. What the messages bring is measured by the product from a holdout, and stands beside the truth: the margin of the
same customers' orders less that of the orders which they, with the same luck, would have made had nobody been written to.
"""

import datetime as dt
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.harness import measure, table

TITLE = "Thirty nights in a chart"
CUSTOMERS, NIGHTS, PAST_DAYS, HOLDOUT, SEED = 10_000, 30, 400, 0.3, 3
OURS = "this project"
CHART = Path(__file__).parent / "loop.svg"
# Nights of the table.
SHOWN = 5


def section(_work: Path, _sizes: Sequence[int], _memory_limit: str) -> str:
    """Markdown; the chart is put beside the results."""
    played = measure("bench.loop:play", customers=CUSTOMERS, nights=NIGHTS)
    regret, brought = pl.DataFrame(played.value["regret"]), pl.DataFrame(played.value["brought"])
    CHART.write_text(chart(regret, brought), "utf-8")
    policies = regret["policy"].unique(maintain_order=True).to_list()
    days = sorted(regret["night"].unique())
    shown = [days[round(k * (len(days) - 1) / (SHOWN - 1))] for k in range(SHOWN)]

    def of(policy: str, night: int) -> str:
        row = regret.filter(pl.col("policy") == policy, pl.col("night") == night).row(0, named=True)
        return f"{row['regret']:.1%} ± {(row['hi'] - row['lo']) / 2:.1%}"

    last = brought.row(-1, named=True)
    held = brought.filter(pl.col("truth").is_between(pl.col("lo"), pl.col("hi"))).height
    return "\n\n".join(
        [
            f"{NIGHTS} nights of a simulated shop of {CUSTOMERS:,} customers, who had a message every four months "
            f"before; {HOLDOUT:.0%} of them are held out. {played.seconds / 60:.0f} minutes.",
            f"![Regret and incremental margin by night]({CHART.name})",
            "Regret by night, as a share of what the oracle earns:",
            table(
                ["policy", *(f"night {night}" for night in shown)],
                [[policy, *(of(policy, night) for night in shown)] for policy in policies],
            ),
            f"After {NIGHTS} nights the holdout says that the messages brought {last['measured']:,.0f} of margin (95 % "
            f"interval {last['lo']:,.0f} to {last['hi']:,.0f}); in truth it was {last['truth']:,.0f}. The interval held "
            f"the truth on {held} of {brought.height} nights, which are not independent.",
        ]
    )


def play(customers: int, nights: int) -> dict[str, Any]:
    """`regret`: policy, night, regret and its 95 % interval over customers. `brought`: night, and of all messages up to it
    measured, lo, hi, truth: margin in the shop's currency."""
    from bench.routing_judge import Shop
    from bench.routing_loop import EXPERIMENT, ours
    from bench.routing_rivals import rivals
    from lifecycle_assets import contracts
    from lifecycle_assets.definitions import Home, build_resources, simulation
    from lifecycle_assets.simulator.world import World

    world = World("loop", dt.date(2024, 1, 1), PAST_DAYS, customers, SEED, messages_per_month=0.25)
    shop = Shop(world, unsubscribed=None)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        own = ours(home, shop, nights, HOLDOUT)
        lake = build_resources(home)["lake"]
        known = contracts.registry()
        arms = lake.scan(known["dispatch.assignments"], world.shop).filter(pl.col("arm") == "treatment")
        treated = arms.select(customer=pl.col("customer_id").str.slice(1).cast(pl.Int64)).collect()
        results = pl.concat(
            lake.scan_night(known["models.experiment_results"], world.shop, night)
            .filter(pl.col("experiment") == EXPERIMENT, pl.col("metric") == "margin")
            .select("as_of", measured="total", lo="total_lo", hi="total_hi")
            for night in lake.nights(known["models.experiment_results"], world.shop)
        ).collect()
        truth = _brought(world, simulation(home, world.shop).input, treated["customer"].to_numpy(), nights)
    lived = {OURS: own.join(treated, on="customer", how="semi"), **dict(rivals(shop, nights))}
    regret = pl.concat(_regret(rows).select(pl.lit(policy).alias("policy"), pl.all()) for policy, rows in lived.items())
    brought = results.join(truth, on="as_of").sort("as_of").drop_nulls()
    return {
        "regret": regret.with_columns(pl.col("night") - world.days + 1).to_dict(as_series=False),
        "brought": brought.select(
            (pl.col("as_of") - world.date(world.days - 1)).dt.total_days().alias("night"), pl.exclude("as_of")
        ).to_dict(as_series=False),
    }


def _regret(rows: pl.DataFrame) -> pl.DataFrame:
    """Per night 1 - worth / oracle, a ratio of sums over customers, with its interval by linearisation."""
    worth = pl.col("worth").fill_null(0.0)
    share = worth.sum() / pl.col("oracle").sum()
    off = (worth - share * pl.col("oracle")).pow(2).sum().sqrt() / pl.col("oracle").sum()
    found = rows.group_by("day").agg(share=share, off=off).sort("day")
    return found.select(
        night="day",
        regret=1 - pl.col("share"),
        lo=1 - pl.col("share") - 1.96 * pl.col("off"),
        hi=1 - pl.col("share") + 1.96 * pl.col("off"),
    )


def _brought(world: Any, folder: Path, treated: np.ndarray, nights: int) -> pl.DataFrame:
    """as_of, truth: the margin of the treated customers' orders since the past's end less that of their orders in a world
    without messages, both at the expected basket of customer and day."""
    from lifecycle_assets.simulator.baskets import expected_order
    from lifecycle_assets.simulator.day import Sends, State, live
    from lifecycle_assets.simulator.people import people
    from lifecycle_assets.simulator.simulation import chance_of_night, chance_of_past, past_days

    who = people(world, 0, world.customers)
    state = State.fresh(who)
    past_days(world, who, state, chance_of_past(world, 0))
    nobody = np.zeros(0, np.int64)
    silence = Sends(nobody, nobody, nobody, np.zeros(0), nobody, np.zeros(0))
    is_treated = np.isin(np.arange(world.customers), treated)
    orders = (
        pl.scan_parquet(folder / "order_lines" / "*.parquet")
        .filter(pl.col("quantity") > 0)
        .group_by("order_id")
        .agg(
            day=((pl.col("ordered_at").min().dt.offset_by("-6h").dt.date() - world.start).dt.total_days()),
            customer=pl.col("customer_id").first().cast(pl.String).str.slice(1).cast(pl.Int64),
            discount=pl.col("discount_amount").sum() / (pl.col("quantity") * pl.col("unit_price")).sum(),
        )
        .collect()
    )
    truth, total = [], 0.0
    for day in range(world.days, world.days + nights):
        amount, margin = expected_order(world, who, day)
        made = orders.filter(pl.col("day") == day)
        buyer = made["customer"].to_numpy()
        earned = (margin[buyer] - amount[buyer] * made["discount"].to_numpy()) * is_treated[buyer]
        silent = live(world, who, state, day, silence, chance_of_night(world, 0, day)).buyer
        total += float(earned.sum() - (margin[silent] * is_treated[silent]).sum())
        truth.append((world.date(day), total))
    return pl.DataFrame(truth, schema={"as_of": pl.Date, "truth": pl.Float64}, orient="row")


def chart(regret: pl.DataFrame, brought: pl.DataFrame) -> str:
    """SVG: regret by night and policy; incremental margin as measured, with its interval, and in truth."""
    import altair as alt

    from lifecycle_assets.drawing import DARK, LIGHT, SERIES_COLOURS, svg

    night = alt.X("night:Q", title="night", axis=alt.Axis(tickMinStep=1))
    names = regret["policy"].unique(maintain_order=True).to_list()
    colours = alt.Scale(domain=names, range=list(SERIES_COLOURS[: len(names)]))
    policy = alt.Color("policy:N", title=None, sort=names, scale=colours).legend(orient="top", columns=2)
    missed = alt.Chart(alt.Data(values=regret.to_dicts())).encode(x=night, color=policy)
    share = alt.Y("lo:Q", title="regret, share of the oracle's margin").axis(format="%")
    size = {"width": 430, "height": 300}
    left = alt.layer(
        missed.mark_area(opacity=0.2).encode(y=share, y2="hi:Q"),
        missed.mark_line(strokeWidth=2).encode(y="regret:Q"),
    ).properties(title="What an oracle would have earned, and the policy did not", **size)
    told = alt.Chart(alt.Data(values=brought.to_dicts())).encode(x=night)
    amount = alt.Y("lo:Q", title="incremental margin since the first night").axis(format=",.0f")
    right = alt.layer(
        told.mark_area(opacity=0.2, color=DARK).encode(y=amount, y2="hi:Q"),
        told.mark_line(strokeWidth=2, color=DARK).encode(y="measured:Q"),
        told.mark_line(strokeWidth=2, strokeDash=[6, 4], color=LIGHT).encode(y="truth:Q"),
    ).properties(title="Measured from the holdout, 95 % interval (blue), and in truth (dashed)", **size)
    return svg(alt.hconcat(left, right, spacing=40))
