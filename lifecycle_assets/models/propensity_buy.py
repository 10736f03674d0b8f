"""How likely is each customer to buy each of a few products within 30 days?

One classifier for all products together: a row is a customer and a product as known at the end of a past day, with the
customer's own habits, what they had to do with the product and its category (propensity_pairs.py), and how popular it was; the
label says whether they bought it in the BUY_DAYS after that day. On every past day the products are those that would have been
chosen on it, so that nothing is known of later bestsellers. A cold product is scored by its category. The rule to beat knows
how often the customer bought the product and how many others did lately.

Where there are more rows than may be learnt from, few of them drawn evenly would hold hardly any purchase. So they are drawn in
equal parts of pairs that bought the product in 90 days, bought it earlier, ordered something in 90 days, and the others. What
the draw goes by was known on the day and is among the features, so that the probabilities need no correction (exogenous
stratified sampling; Manski and Lerman, 1977); the evaluation is of the rows drawn, in which purchases are more frequent.

The table is made in blocks of customers as it is written. Reasons are given for the rows of tier High or better and for the
product that each customer is likeliest to buy; for the others they would cost more than they tell. Without order lines that
name products the table is empty.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from lifecycle_assets.blocks import one_after_another
from lifecycle_assets.contracts import key, table, text
from lifecycle_assets.features.per_customer import KEY, PerCustomer
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.classifier import TrainingSet
from lifecycle_assets.models.classifier_drivers import Words
from lifecycle_assets.models.classifier_evaluation import EvaluationColumns
from lifecycle_assets.models.propensity import (
    HIGH,
    LOW,
    MEDIUM,
    VERY_HIGH,
    VERY_LOW,
    PropensityColumns,
    interpreted,
    scored,
    stacked,
)
from lifecycle_assets.models.propensity_pairs import BASES, CATEGORY, NUMBERS, Shelf, bought_after, pair_features
from lifecycle_assets.settings import Scores

BUY_DAYS = 30
BLOCK_ROWS = 400_000
# Rows looked at for each that is learnt from.
LOOKED_AT = 20
OF_CUSTOMER = (
    "recency_days",
    "tenure_days",
    "visit_frequency",
    "avg_ticket",
    "product_diversity",
    "median_gap_days",
    "gap_cv",
    "orders_30d",
    "orders_90d",
    "spend_90d",
    "discount_share",
)
FEATURES = (*OF_CUSTOMER, *NUMBERS)
CATEGORIES = ("basis", "favourite_channel")
BASELINE = ("times_bought", "buyers_30d")
WORDS = {
    "recency_days": Words("last order {} days ago", "never ordered"),
    "tenure_days": Words("customer for {} days", "customer since an unknown day"),
    "visit_frequency": Words("{} orders", "orders not known"),
    "avg_ticket": Words("{} an order", "value of orders not known"),
    "product_diversity": Words("{} different products bought", "variety not known"),
    "median_gap_days": Words("{} days between orders", "no rhythm of orders yet"),
    "gap_cv": Words("spread of the rhythm of orders {}", "no rhythm of orders yet"),
    "orders_30d": Words("{} orders in 30 days", "orders of 30 days not known"),
    "orders_90d": Words("{} orders in 90 days", "orders of 90 days not known"),
    "spend_90d": Words("{} spent in 90 days", "spend of 90 days not known"),
    "discount_share": Words("share of discounts {}", "share of discounts not known"),
    "times_bought": Words("bought it {} times", "never bought it"),
    "times_bought_90d": Words("bought it {} times in 90 days", "not bought in 90 days"),
    "days_since_bought": Words("bought it {} days ago", "never bought it"),
    "share_of_days": Words("share of shopping days with it {}", "never bought it"),
    "own_interval_days": Words("buys it every {} days", "never bought it again"),
    "due_by_own_interval": Words("{} of the own interval has passed", "never bought it again"),
    "usual_interval_days": Words("others buy it every {} days", "nobody bought it again"),
    "due_by_usual_interval": Words("{} of the usual interval has passed", "never bought it"),
    "category_times": Words("bought its category {} times", "never bought its category"),
    "days_since_category": Words("bought its category {} days ago", "never bought its category"),
    "category_share_of_days": Words("share of shopping days with its category {}", "category not known"),
    "buyers_30d": Words("share of customers who bought it in 30 days {}", "popularity not known"),
    "buyers_90d": Words("share of customers who bought it in 90 days {}", "popularity not known"),
    "basis": Words("scored by the {}", "basis not known"),
    "favourite_channel": Words("buys mostly by {}", "channel not known"),
}
ADVICE = {
    VERY_HIGH: "will hardly need a reason; remind, give no discount",
    HIGH: "a reminder should do; show it first",
    MEDIUM: "worth a message with a reason to buy",
    LOW: "show it beside likelier products, no message of its own",
    VERY_LOW: "leave it out; show something likelier",
}


class _OfProduct(PerCustomer):
    product_id = key("The product.")
    product_name = text("Its name.")
    basis = text("What is foretold: a purchase of the product, or, for a cold one, of its category.", nullable=False,
                 values=BASES)  # fmt: skip


@table("models.propensity_buy")
class PropensityBuy(_OfProduct, PropensityColumns):
    """How likely each customer is to buy each of the scored products (`scores.products`, else the `scores.top_products` that
    sold for most in the last year) within 30 days. top_factors stand at rows of tier High or better and at the customer's
    likeliest product."""


@table("models.propensity_buy_evaluation", history=True)
class PropensityBuyEvaluation(EvaluationColumns):
    """How well purchases within 30 days were foretold, for all products together and for each. In large shops the rows are
    drawn so that likely buyers are more frequent than among all customers; shares and figures are of these rows."""


def most_customers(settings: Scores) -> int:
    """How many customers are looked at, so that their rows are LOOKED_AT times `training_rows`."""
    per_customer = settings.snapshots * (len(settings.products) or settings.top_products)
    return max(1, LOOKED_AT * settings.training_rows // per_customer)


def training_set(
    snapshots: Sequence[Snapshot],
    shelves: Sequence[Shelf],
    order_lines: pl.LazyFrame,
    settings: Scores,
    rng: np.random.Generator,
) -> TrainingSet:
    """A row for each customer of a snapshot and product on the shelf of its day, or a draw of `training_rows` in all;
    `order_lines` is raw.order_lines of profiles."""
    most = settings.training_rows // max(len(snapshots), 1)
    rows = [
        _drawn(_labelled(snapshot.customer_orders, shelf, order_lines), most, rng)
        for snapshot, shelf in zip(snapshots, shelves, strict=True)
    ]
    return stacked(rows, FEATURES, CATEGORIES, BASELINE, f"buys it within {BUY_DAYS} days")


def propensity_buy(customer_orders: pl.LazyFrame, shelf: Shelf, champion: Champion, settings: Scores) -> pl.LazyFrame:
    """A row for each customer of features.customer_orders and product on the shelf, ordered by both."""
    customers = _customers(customer_orders).collect()
    n_products = shelf.products.height
    if customers.is_empty() or n_products == 0:
        return PropensityBuy.empty().lazy()

    def blocks() -> Iterator[pl.DataFrame]:
        per_block = max(1, BLOCK_ROWS // n_products)
        for rows in scored(
            customers, lambda some: pair_features(some, shelf), champion, settings, WORDS, _likeliest, per_block
        ):
            yield rows.with_columns(interpretation=interpreted(_event(), ADVICE, champion)).select(
                list(PropensityBuy.columns)
            )

    return one_after_another(blocks, PropensityBuy.polars_schema)


def _labelled(customer_orders: pl.DataFrame, shelf: Shelf, order_lines: pl.LazyFrame) -> pl.DataFrame:
    customers = _customers(customer_orders.lazy()).collect()
    bought = bought_after(order_lines, shelf, customers["customer_id"], BUY_DAYS).with_columns(label=pl.lit(value=True))
    return (
        pair_features(customers, shelf)
        .join(bought, on=["customer_id", "basis", "thing"], how="left", maintain_order="left")
        .with_columns(
            pl.col("label").fill_null(value=False), snapshot=pl.lit(shelf.day), group="customer_id", target="product_id"
        )
    )


def _drawn(rows: pl.DataFrame, most: int, rng: np.random.Generator) -> pl.DataFrame:
    """All rows, or `most` of them, of each part as many; what one part lacks the others make up for."""
    if rows.height <= most:
        return rows
    known = [pl.col(name).fill_null(0) > 0 for name in ("times_bought_90d", "times_bought", "orders_90d")]
    part = pl.when(known[0]).then(0).when(known[1]).then(1).when(known[2]).then(2).otherwise(3)
    drawn = rows.with_columns(part.alias("part"), turn=pl.Series(rng.permutation(rows.height)))
    return drawn.with_columns(pl.col("turn").rank().over("part")).sort("turn", "part").head(most)


def _customers(customer_orders: pl.LazyFrame) -> pl.LazyFrame:
    return customer_orders.sort("customer_id").select(
        *KEY,
        "purchase_days",
        "favourite_channel",
        *(pl.col(name).cast(pl.Float64) for name in OF_CUSTOMER),
    )


def _likeliest(chances: np.ndarray) -> np.ndarray:
    """Marks each customer's likeliest product, the first of several."""
    return np.arange(chances.shape[1]) == chances.argmax(axis=1)[:, None]


def _event() -> pl.Expr:
    name, within = pl.coalesce("product_name", "product_id"), f" within {BUY_DAYS} days"
    of_category = pl.format("buys from the category of {}, {}," + within, name, "category")
    return pl.when(pl.col("basis") == CATEGORY).then(of_category).otherwise(pl.format("buys {}" + within, name))
