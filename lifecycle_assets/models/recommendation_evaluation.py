"""Which way of recommending finds what customers went on to buy?

Everything is learnt from purchases up to a split, `horizon_days` before as_of, and lists of ten are held against what the same
customers bought after it, first-time and repeated purchases alike. Every way obeys the rules of the lists (what is closed to a
customer, items per name and category); stock is not looked at, since that of the split is not known, and popularity is that of
all customers, since their segments of that day are not. Recall, MAP and NDCG with binary gains (Järvelin and Kekäläinen,
Cumulated gain-based evaluation of IR techniques, 2002) are means over customers, their interval is a bootstrap; novelty is the
mean self-information of what is listed (Vargas and Castells, Rank and relevance in novelty and diversity metrics, 2011). The
way of the best NDCG is chosen; the holdout chooses, and nothing is tuned on it. Of many customers a sample is taken. With too
few nothing is measured: als is chosen, else content, else popular.
"""

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, number, share, shop_key, table, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.purchases import Purchases, catalogue, holdout, purchases
from lifecycle_assets.models.races import night_of_race, settings_of_race
from lifecycle_assets.models.rankers import WAYS, groups, learn, top_lists
from lifecycle_assets.settings import Recommendations

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

K = 10
SAMPLE = 20_000
LEAST_USERS = 30
RESAMPLES = 1_000
# In this order where the holdout cannot tell.
UNTESTED = ["als", "content", "popular"]


@table("models.recommendation_evaluation")
class RecommendationEvaluation(dy.Schema):
    """How well each way of recommending foretold the last weeks' purchases, and which one is used."""

    shop_id = shop_key()
    as_of = as_of_column()
    model = dy.String(
        primary_key=True, check=lambda column: column.is_in(WAYS), description=f"One of: {', '.join(WAYS)}."
    )
    recall_at_10 = share("Share of a customer's purchases that their list named.", nullable=True)
    map_at_10 = share("Mean over the hits of the share of hits down to them, over min(10, purchases).", nullable=True)
    ndcg_at_10 = share("Hits discounted by their place, over those of a perfect list.", nullable=True)
    ndcg_lo = share("Lower end of the 95 % interval of ndcg_at_10.", nullable=True)
    ndcg_hi = share("Upper end of the 95 % interval of ndcg_at_10.", nullable=True)
    coverage = share("Share of the products that stand in some list.", nullable=True)
    novelty = number("Mean of -log2 of the share of customers who had bought a listed item.", "bits", nullable=True)
    chosen = flag("models.user_recommendations is made this way.")
    n_users = count("Customers with purchases both before and after the split, as far as sampled.", "customers")
    split_date = date("Last day that was learnt from.")
    holdout_until = date("Last day of the purchases that were foretold.")
    trained_as_of = night_of_race()
    made_by = settings_of_race()
    note = text("What stood in the way, or how clear the choice is.")


MEASURES = ["model", "recall_at_10", "map_at_10", "ndcg_at_10", "ndcg_lo", "ndcg_hi", "coverage", "novelty"]


class Trial(NamedTuple):
    """One way's lists (user x place) and how good each user's was."""

    listed: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    ndcg: np.ndarray


def recommendation_evaluation(
    order_lines: pl.LazyFrame, products: pl.LazyFrame, shop: str, as_of: dt.date, settings: Recommendations, seed: int
) -> pl.DataFrame:
    """One row per way, ordered by model, out of raw.order_lines and raw.products; empty without purchases before the split."""
    rng = generator(shop, RecommendationEvaluation.name, seed)
    split = as_of - dt.timedelta(days=settings.horizon_days)
    on_sale = catalogue(products, order_lines, split)
    bought = purchases(order_lines, _sample(order_lines, split, rng), on_sale["product_id"], split, settings)
    if bought.pairs.is_empty():
        return RecommendationEvaluation.empty()
    everyone = pl.repeat("all", bought.customers.len(), eager=True)
    rankers = learn(bought, everyone, on_sale, settings, rng)
    users, targets = _targets(bought, holdout(order_lines, split, as_of))
    trials = {}
    if users.size >= LEAST_USERS:
        kinds, is_open = groups(on_sale, bought.items), np.ones(bought.items.len(), bool)
        for way in rankers.ways:
            lists = top_lists(rankers, [way], users, K, kinds, settings.max_per_category, is_open)
            trials[way] = Trial(lists.items, *per_user(lists.items, targets))
    chosen, why = _choice(trials, rankers.ways, rng)
    rows = pl.DataFrame([_row(way, trials.get(way), bought, rng) for way in WAYS], schema=MEASURES, orient="row")
    is_chosen = pl.col("model") == chosen
    note = (
        pl.when(is_chosen).then(pl.lit(why))
        .when(~pl.col("model").is_in(rankers.ways)).then(pl.lit("not used: too little data to learn from"))
    )  # fmt: skip
    return rows.sort("model").select(
        pl.lit(shop).alias("shop_id"),
        pl.lit(as_of).alias("as_of"),
        pl.all(),
        is_chosen.alias("chosen"),
        pl.lit(users.size, pl.Int64).alias("n_users"),
        pl.lit(split).alias("split_date"),
        pl.lit(as_of).alias("holdout_until"),
        pl.lit(None, pl.Date).alias("trained_as_of"),
        pl.lit(None, pl.String).alias("made_by"),
        note.alias("note"),
    )


def per_user(listed: np.ndarray, targets: "csr_matrix") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall, average precision and NDCG of each row of `listed` (item positions, best first, -1 behind the last).

    `targets` (users x items) holds 1 for each product bought, with at least one in every row; products outside the catalogue
    of the lists are columns like any other.
    """
    n_places = listed.shape[1]
    rows = np.arange(listed.shape[0])[:, None]
    hits = np.asarray(targets[rows, np.maximum(listed, 0)].todense()).astype(bool) & (listed >= 0)
    wanted = targets.getnnz(axis=1)
    within = np.minimum(wanted, n_places)
    places = np.arange(1, n_places + 1)
    discounts = 1 / np.log2(places + 1)
    precision = hits.cumsum(axis=1) / places
    return (
        hits.sum(axis=1) / wanted,
        (precision * hits).sum(axis=1) / within,
        (hits * discounts).sum(axis=1) / discounts.cumsum()[within - 1],
    )


def _sample(order_lines: pl.LazyFrame, split: dt.date, rng: np.random.Generator) -> pl.Series:
    known = (pl.col("order_date") <= split) & pl.col("customer_id").is_not_null()
    everyone = order_lines.filter(known).select(pl.col("customer_id").unique()).collect().to_series().sort()
    if everyone.len() <= SAMPLE:
        return everyone
    return everyone.gather(np.sort(rng.choice(everyone.len(), SAMPLE, replace=False)))


def _targets(bought: Purchases, later: pl.DataFrame) -> tuple[np.ndarray, "csr_matrix"]:
    """Positions of the customers who bought before and after the split, and what each of them bought after it."""
    from scipy.sparse import csr_matrix

    customers = bought.customers.alias("customer_id").to_frame().with_row_index("customer")
    active = customers.join(bought.pairs.select("customer"), on="customer", how="semi")
    later = later.join(active, on="customer_id").with_columns(pl.col("customer").rank("dense").alias("row") - 1)
    # Products that nobody had bought or listed before the split can not be foretold, but count as missed.
    items = pl.concat([bought.items, later["product_id"]]).unique(maintain_order=True)
    later = later.join(items.to_frame().with_row_index("item"), on="product_id").sort("row", "item")
    ones = np.ones(later.height, np.float32)
    users = later["customer"].unique().sort().to_numpy()
    return users, csr_matrix(
        (ones, (later["row"].to_numpy(), later["item"].to_numpy())), shape=(users.size, items.len())
    )


def _row(way: str, trial: Trial | None, bought: Purchases, rng: np.random.Generator) -> tuple[str | float | None, ...]:
    if trial is None:
        return (way, *[None] * (len(MEASURES) - 1))
    buyers = np.bincount(bought.pairs["item"].to_numpy(), minlength=bought.items.len())
    listed = trial.listed[trial.listed >= 0]
    surprise = -np.log2((buyers[listed] + 1) / (bought.customers.len() + 1))
    return (
        way,
        float(trial.recall.mean()),
        float(trial.precision.mean()),
        float(trial.ndcg.mean()),
        *_interval(trial.ndcg, rng),
        np.unique(listed).size / bought.items.len(),
        float(surprise.mean()) if listed.size else None,
    )


def _choice(trials: dict[str, Trial], ways: list[str], rng: np.random.Generator) -> tuple[str, str]:
    """The way to use, and why."""
    if not trials:
        chosen = next(way for way in UNTESTED if way in ways)
        return chosen, f"not measured: fewer than {LEAST_USERS} customers bought both before and after the split"
    best, *others = sorted(trials, key=lambda way: -trials[way].ndcg.mean())
    if not others:
        return best, "the only one that there is data for"
    ahead = trials[best].ndcg - trials[others[0]].ndcg
    low, high = _interval(ahead, rng)
    return best, f"best NDCG; ahead of {others[0]} by {ahead.mean():.4f} (95 % interval {low:.4f} to {high:.4f})"


def _interval(values: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean (Efron and Tibshirani, An Introduction to the Bootstrap, 1993)."""
    means = [values[rng.integers(0, values.size, values.size)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
