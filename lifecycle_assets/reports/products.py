"""What belongs together in a basket, what is shown to each customer next and how well that was foretold, and which better
product could be suggested.

Pairs are those of models.cross_sell_matrix whose lift is above 1 by more than chance, allowing for how many pairs there are
(see `tied`); the map holds the categories in most baskets, or the products where the shop knows no categories.
Recommendations are held against the list of what is most popular. Each part is left out when its table is empty, and the
report says what would bring it.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping

import polars as pl

from lifecycle_assets.confidence import CONFIDENCE
from lifecycle_assets.contracts import MONEY
from lifecycle_assets.inputs.contracts import Products
from lifecycle_assets.models.cross_sell import LEVELS, CrossSellMatrix, strongest
from lifecycle_assets.models.recommendation_evaluation import RecommendationEvaluation
from lifecycle_assets.models.recommendations import SOURCES, UserRecommendations
from lifecycle_assets.models.upsell import UpsellSuggestions
from lifecycle_assets.reports.facts import Fact, Facts, Row, part
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

READS = (CrossSellMatrix, Products, UserRecommendations, RecommendationEvaluation, UpsellSuggestions)
MAPPED = 10  # categories or products on the map
LISTED = 5  # pairs in a table
SAID = 3  # of them in words
STEPS = 5  # steps up in the table
EXACT = pl.Decimal(38, 10)  # a sum of many small amounts that does not depend on their order


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    of_products = settings.products
    return (
        together(tables[CrossSellMatrix], tables[Products])
        | recommended(tables[UserRecommendations], tables[RecommendationEvaluation])
        | upsell(tables[UpsellSuggestions], tables[Products])
        | Facts(
            [
                Fact("cross.min_support", of_products.cross_sell.min_support, "baskets"),
                Fact("cross.days", of_products.cross_sell.window_days, "days"),
                Fact("upsell.days", of_products.upsell.horizon_days, "days"),
            ]
        )
    )


def together(matrix: pl.LazyFrame, products: pl.LazyFrame) -> Facts:
    """Facts `cross.<level>.tested` and `.significant` (pairs), `cross.<level>.<place>.lift` (with its interval) and `.baskets`
    of the closest pairs, `cross.map.lift` of the closest pair on the map; tables `cross_<level>` and `cross_map` (first,
    second, lift, lo, hi, baskets) and `cross_mapped` (name, baskets)."""
    pairs = matrix.filter(pl.col("item_i") < pl.col("item_j"))
    sure = tied(matrix)
    counts = dict(pairs.group_by("level").agg(pl.len().cast(pl.Int64)).collect().iter_rows())
    found, tables = [], {}
    for level in [level for level in LEVELS if level in counts]:
        of_level = sure.filter(pl.col("item_i") < pl.col("item_j"), level=level)
        closest = strongest(of_level, level, LISTED)
        rows = _pair_rows(closest.to_dicts(), _names([*closest["item_i"], *closest["item_j"]], level, products))
        tables[f"cross_{level}"] = rows
        found += [
            Fact(f"cross.{level}.tested", counts[level], "pairs"),
            Fact(f"cross.{level}.significant", of_level.height, "pairs", counts[level]),
        ]
        for place, row in enumerate(rows[:SAID], 1):
            found += [
                _lift(f"cross.{level}.{place}.lift", row),
                Fact(f"cross.{level}.{place}.baskets", row["baskets"], "baskets"),
            ]
    of_map = next((level for level in LEVELS if level in counts), "item")
    return Facts(found, tables) | _map(matrix.filter(level=of_map), sure.filter(level=of_map), of_map, products)


def tied(matrix: pl.LazyFrame) -> pl.DataFrame:
    """The rows of models.cross_sell_matrix that are told: pairs whose lift's interval is above 1, and of which one in twenty at
    most is expected to be chance (Benjamini and Hochberg, 1995).

    Every two items of a level count as looked at, those with too few common baskets to have a row as well. The p value of a
    pair is binomial: so many of the baskets with the rarer one hold the other too, by its share of all baskets.
    """
    from scipy.stats import binom

    rows = matrix.filter("significant").collect()
    items = matrix.filter(pl.col("item_i") == pl.col("item_j")).group_by("level").agg(items=pl.len().cast(pl.Float64))
    rarer = rows.select(pl.min_horizontal("support_i", "support_j")).to_series().to_numpy()
    both, lift = rows["support_ij"].to_numpy(), rows["lift"].to_numpy()
    p = pl.Series("p", binom.sf(both - 1, rarer, both / (lift * rarer)))
    # Each pair has a row in both directions.
    allowed = (1 - CONFIDENCE) * pl.col("p").rank("max") / (pl.col("items") * (pl.col("items") - 1))
    return (
        rows.with_columns(p)
        .join(items.collect(), on="level")
        .filter(pl.col("p") <= pl.col("p").filter(pl.col("p") <= allowed).max().over("level"))
        .drop("p", "items")
    )


def _map(matrix: pl.LazyFrame, sure: pl.DataFrame, level: str, products: pl.LazyFrame) -> Facts:
    """The sure pairs of a level among what stands in most baskets."""
    mapped = (
        matrix.filter(pl.col("item_i") == pl.col("item_j"))
        .sort("support_i", "item_i", descending=[True, False])
        .head(MAPPED)
        .collect()
    )
    items = mapped["item_i"].to_list()
    place = {item: place for place, item in enumerate(items)}
    among = sure.filter(pl.col("item_i").is_in(items), pl.col("item_j").is_in(items))
    # Each pair once, the one in more baskets first.
    pairs = [pair for pair in among.to_dicts() if place[pair["item_i"]] < place[pair["item_j"]]]
    pairs.sort(key=lambda pair: (-pair["lift_lo"], place[pair["item_i"]], place[pair["item_j"]]))
    names = _names(items, level, products)
    rows = _pair_rows(pairs, names)
    return Facts(
        [_lift("cross.map.lift", row) for row in rows[:1]],
        {
            "cross_map": rows,
            "cross_mapped": [
                {"name": names[item], "baskets": baskets}
                for item, baskets in zip(items, mapped["support_i"], strict=True)
            ],
        },
    )


def recommended(recommendations: pl.LazyFrame, evaluation: pl.LazyFrame) -> Facts:
    """Facts `recommended.customers`, `.products`, `.per_customer`, `.<source>.share` (of what is listed); of the test
    `recommended.test.from`, `.until`, `.users` and, of the method in use and of the popular list, `recommended.used.<measure>`
    and `recommended.popular.<measure>`; tables `recommended_sources` (name, products, share) and `recommended_test` (name,
    used, ndcg, lo, hi, recall, coverage)."""
    sources = dict(
        recommendations.group_by("source").agg(pl.len().cast(pl.Int64)).collect(engine="streaming").iter_rows()
    )
    customers = recommendations.filter(rank=1).select(pl.len()).collect().item()
    listed = sum(sources.values())
    by_source = [
        {"name": source, "products": sources[source], "share": part(sources[source], listed)}
        for source in sorted(SOURCES, key=lambda source: -sources.get(source, 0))
        if source in sources
    ]
    found = [
        Fact("recommended.customers", customers, "customers"),
        Fact("recommended.products", listed, "products", customers),
        Fact("recommended.per_customer", part(listed, customers), "products", customers),
        *(Fact(f"recommended.{row['name']}.share", row["share"], "share", listed) for row in by_source),
    ]
    race = evaluation.filter(pl.col("ndcg_at_10").is_not_null()).sort("model").collect()
    test = race.sort("ndcg_at_10", "model", descending=[True, False]).select(
        name="model",
        used="chosen",
        ndcg="ndcg_at_10",
        lo="ndcg_lo",
        hi="ndcg_hi",
        recall="recall_at_10",
        coverage="coverage",
    )
    for name, rows in {"used": test.filter("used"), "popular": test.filter(name="popular")}.items():
        for row in rows.iter_rows(named=True):
            n = race["n_users"][0]
            found += [
                Fact(f"recommended.{name}.ndcg", row["ndcg"], "ratio", n, lo=row["lo"], hi=row["hi"]),
                Fact(f"recommended.{name}.recall", row["recall"], "share", n),
                Fact(f"recommended.{name}.coverage", row["coverage"], "share", n),
            ]
    for row in race.head(1).iter_rows(named=True):
        found += [
            Fact("recommended.test.users", row["n_users"], "customers"),
            Fact("recommended.test.from", row["split_date"] + dt.timedelta(days=1), "date"),
            Fact("recommended.test.until", row["holdout_until"], "date"),
        ]
    return Facts(found, {"recommended_sources": by_source, "recommended_test": test.to_dicts()})


def upsell(suggestions: pl.LazyFrame, products: pl.LazyFrame) -> Facts:
    """Facts `upsell.suggestions`, `.customers`, `.<basis>.extra` (expected, by what it is counted in: margin or price); table
    `upsell_steps` (first, second, customers, price, item_price, extra) of the steps up that promise most."""
    total = (
        suggestions.select(
            pl.len().cast(pl.Int64).alias("suggestions"),
            (pl.col("rank") == 1).sum().cast(pl.Int64).alias("customers"),
            pl.col("expected_extra_margin").cast(EXACT).sum().round(4).cast(MONEY).alias("extra"),
            pl.col("basis").min(),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    found = [
        Fact("upsell.suggestions", total["suggestions"], "suggestions", total["customers"]),
        Fact("upsell.customers", total["customers"], "customers"),
    ]
    if total["basis"]:
        found.append(Fact(f"upsell.{total['basis']}.extra", total["extra"], "currency", total["suggestions"]))
    steps = (
        suggestions.group_by("product_id", "item_id")
        .agg(
            pl.len().cast(pl.Int64).alias("customers"),
            pl.col("price", "item_price").max(),
            pl.col("expected_extra_margin").cast(EXACT).sum().round(4).cast(MONEY).alias("extra"),
        )
        .sort("extra", "product_id", "item_id", descending=[True, False, False])
        .head(STEPS)
        .collect(engine="streaming")
    )
    names = names_of([*steps["product_id"], *steps["item_id"]], products)
    rows = [
        {"first": names[row.pop("product_id")], "second": names[row.pop("item_id")], **row} for row in steps.to_dicts()
    ]
    return Facts(found, {"upsell_steps": rows})


def _pair_rows(pairs: Iterable[Row], names: Mapping[str, str]) -> list[Row]:
    """Rows of the matrix by name."""
    return [
        {
            "first": names[pair["item_i"]],
            "second": names[pair["item_j"]],
            "lift": pair["lift"],
            "lo": pair["lift_lo"],
            "hi": pair["lift_hi"],
            "baskets": pair["support_ij"],
        }
        for pair in pairs
    ]


def lift_unit(lift: float) -> str:
    """How a lift is shown: hundredths tell nothing of one beyond ten."""
    return "ratio" if lift < 10 else "times"


def _lift(name: str, row: Row) -> Fact:
    return Fact(name, row["lift"], lift_unit(row["lift"]), row["baskets"], lo=row["lo"], hi=row["hi"])


def _names(items: Iterable[str], level: str, products: pl.LazyFrame) -> dict[str, str]:
    return names_of(items, products) if level == "item" else {item: item for item in items}


def names_of(items: Iterable[str], products: pl.LazyFrame) -> dict[str, str]:
    """What people call each product: its name, or its id where it has none; products of one name are told apart by theirs."""
    wanted = sorted(set(items))
    known = products.filter(pl.col("product_id").is_in(wanted)).select("product_id", "name").collect()
    names = {item: item for item in wanted} | {item: name or item for item, name in known.iter_rows()}
    called = Counter(names.values())
    return {item: name if called[name] == 1 or name == item else f"{item} {name}" for item, name in names.items()}
