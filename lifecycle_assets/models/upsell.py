"""Which better product would each customer take next, and what would it bring?

For every product that a customer bought or viewed, the products like it (models.similar_items), of the same category, at a
price some way above (`min_price_step` to `max_price_step`) and of a higher margin; for the plan that a customer holds, the next
one of its ladder (plan_ladders.py), whatever its price. The chance of acceptance is an observed rate: of the customers who had
bought (viewed, held) the one and never bought the other by `horizon_days` before as_of, the share who bought it in those days,
among customers of the same spend tier (thirds of the shop). Rates of few customers are shrunk, those of a tier towards the
pair's, the pair's towards the shop's (empirical Bayes; Efron and Morris, 1975). What would have been suggested one horizon ago
shows by how much the chances of each source were too high or too low; they are corrected by that. What is suggested brings
P(accept) times the difference in margin; that says nothing of what a message adds.

Without any known unit cost of a pair the difference in price stands in for that in margin (`basis`). Without similar items
and ladders, prices, or a history of more than the horizon the table is empty.
"""

import datetime as dt

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, share, shop_key, table, text
from lifecycle_assets.features.quantiles import quantiles
from lifecycle_assets.models.plan_ladders import MARK, plan_steps, plans_held
from lifecycle_assets.models.purchases import catalogue
from lifecycle_assets.settings import Upsell

SOURCES = ["bought", "viewed", "plan"]
BOUGHT, VIEWED, PLAN = range(3)
CODES = ["customer_id", "product_id"]
TIERS = 3


@table("models.upsell_suggestions")
class UpsellSuggestions(dy.Schema):
    """The better products to suggest to each customer, by the extra margin to be expected of them."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    rank = dy.Int64(primary_key=True, min=1, max=3, description="Place among the customer's suggestions, from 1.")
    product_id = text("The product bought or viewed, or the plan held.", nullable=False)
    item_id = text("The better product or plan suggested.", nullable=False)
    source = text("What the customer did with product_id.", nullable=False, values=SOURCES)
    price = number("Price of product_id; of a plan a month's.", "currency", minimum=0)
    item_price = number("Price of item_id; of a plan a month's.", "currency", minimum=0)
    p_accept = share("Chance that the customer buys item_id within the horizon.")
    margin_difference = number(
        "Margin of item_id less that of product_id; the prices' difference by `basis`.", "currency"
    )
    expected_extra_margin = number("p_accept * margin_difference.", "currency", minimum=0)
    basis = text("Whether margins are known or prices stand in.", nullable=False, values=["margin", "price"])
    customers_alike = count("Customers of the same tier whom the rate was observed in.", "customers")
    moved_up = count("Of these, those who bought item_id within the horizon.", "customers")
    explanation = text("The row in words.", nullable=False)


def upsell_suggestions(
    order_lines: pl.LazyFrame,
    web_events: pl.LazyFrame,
    products: pl.LazyFrame,
    similar_items: pl.LazyFrame,
    subscriptions: pl.LazyFrame,
    customers: pl.LazyFrame,
    *,
    shop: str,
    as_of: dt.date,
    timezone: str,
    settings: Upsell,
) -> pl.DataFrame:
    """One to `per_customer` rows per customer with something to suggest, ordered by customer_id and rank, of raw.order_lines,
    raw.web_events, raw.products, models.similar_items, raw.subscriptions and raw.customers."""
    goods = _goods(products, order_lines, as_of)
    ladder = pl.concat([_ladder(similar_items, goods, settings), plan_steps(settings)])
    held = plans_held(subscriptions, customers, as_of, timezone, settings)
    touched = pl.concat([_touched(order_lines, web_events, as_of, timezone), held], how="diagonal_relaxed")
    if ladder.is_empty() or touched.is_empty():
        return UpsellSuggestions.empty()
    # Ids become numbers: a night's candidates are many times the customers.
    people, codes = (touched[column].unique().sort() for column in CODES)
    touched = _coded(touched, people, codes)
    ladder = ladder.join(codes.to_frame().with_row_index("product"), on="product_id")
    ladder = ladder.join(codes.alias("item_id").to_frame().with_row_index("item"), on="item_id")
    steps = ladder.select("product", "item", "margin_difference")

    chosen = _chosen(touched, steps, as_of, settings)
    if chosen.is_empty():
        return UpsellSuggestions.empty()
    return (
        chosen.drop("margin_difference")
        .join(ladder, on=["product", "item"], how="left", maintain_order="left")
        .with_columns(customer_id=people.gather(chosen["customer"]), source=_source_names())
        .with_columns(_explanation(settings), pl.col("product_id", "item_id").str.strip_prefix(MARK))
        .sort("customer_id", "rank")
        .select(pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of"), *list(UpsellSuggestions.columns)[2:])
    )


def _goods(products: pl.LazyFrame, order_lines: pl.LazyFrame, as_of: dt.date) -> pl.DataFrame:
    """Per product: category, name, price (list price, else the median paid per unit) and unit cost (else the last line's)."""
    sold = order_lines.filter(
        (pl.col("status") == "completed") & (pl.col("quantity") > 0) & (pl.col("order_date") <= as_of),
        pl.col("product_id").is_not_null(),
    )
    has_cost = pl.col("unit_cost").is_not_null()
    cost, *when = (pl.col(name).filter(has_cost) for name in ("unit_cost", "ordered_at", "line_no"))
    paid = (
        sold.group_by("product_id")
        .agg(
            paid=(pl.col("amount").cast(pl.Float64) / pl.col("quantity")).median(),
            line_cost=cost.sort_by(when).last(),
        )
        .collect()
    )
    listed = products.select("product_id", "price", "unit_cost").collect()
    return (
        catalogue(products, order_lines, as_of)
        .filter(pl.col("inventory_level").is_null() | (pl.col("inventory_level") > 0))
        .join(listed, on="product_id", how="left")
        .join(paid, on="product_id", how="left")
        .select(
            "product_id",
            "category",
            name=pl.coalesce("name", "product_id"),
            price=pl.coalesce("price", "paid"),
            unit_cost=pl.coalesce("unit_cost", "line_cost"),
        )
    )


def _ladder(similar_items: pl.LazyFrame, goods: pl.DataFrame, settings: Upsell) -> pl.DataFrame:
    """The pairs of a product and a better one, with what the step up brings."""
    pairs = (
        similar_items.select("product_id", "item_id")
        .collect()
        .join(goods, on="product_id")
        .join(goods.select(pl.all().name.prefix("item_")), left_on="item_id", right_on="item_product_id")
        .filter((pl.col("category") == pl.col("item_category")) & (pl.col("price") > 0))
        .filter(
            (pl.col("item_price") / pl.col("price")).is_between(
                1 + settings.min_price_step, 1 + settings.max_price_step
            )
        )
    )
    margin = (pl.col("item_price") - pl.col("item_unit_cost")) - (pl.col("price") - pl.col("unit_cost"))
    if pairs.select(margin.count()).item() == 0:
        rise = pl.col("item_price") - pl.col("price")
        steps = pairs.with_columns(margin_difference=rise, basis=pl.lit("price"))
    else:
        steps = pairs.with_columns(margin_difference=margin, basis=pl.lit("margin"))
    return steps.filter(pl.col("margin_difference") > 0).select(
        "product_id", "item_id", "name", "item_name", "price", "item_price", "margin_difference", "basis"
    )


def _touched(order_lines: pl.LazyFrame, web_events: pl.LazyFrame, as_of: dt.date, timezone: str) -> pl.DataFrame:
    """What customers bought and viewed up to `as_of`: customer_id, product_id, day, source, amount."""
    bought = order_lines.filter((pl.col("status") == "completed") & (pl.col("quantity") > 0)).select(
        *CODES, "order_date", pl.lit(BOUGHT, pl.UInt8).alias("source"), "amount"
    )
    viewed = web_events.filter(pl.col("event_type") == "view").select(
        *CODES,
        pl.col("occurred_at").dt.convert_time_zone(timezone).dt.date().alias("order_date"),
        pl.lit(VIEWED, pl.UInt8).alias("source"),
        pl.lit(0).cast(pl.Decimal(18, 4)).alias("amount"),
    )
    return (
        pl.concat([bought, viewed]).rename({"order_date": "day"}).filter(pl.col("day") <= as_of).drop_nulls().collect()
    )


def _coded(touched: pl.DataFrame, customers: pl.Series, codes: pl.Series) -> pl.DataFrame:
    """One row per customer, product, day and source, with numbers for ids."""
    return (
        touched.select(
            pl.col("customer_id").cast(pl.Enum(customers)).to_physical().cast(pl.UInt32).alias("customer"),
            pl.col("product_id").cast(pl.Enum(codes)).to_physical().cast(pl.UInt32).alias("product"),
            "day",
            pl.col("source").fill_null(PLAN),
            "amount",
            "ended",
        )
        .group_by("customer", "product", "day", "source")
        .agg(pl.col("amount").sum(), pl.col("ended").max())
    )


def _chosen(touched: pl.DataFrame, steps: pl.DataFrame, as_of: dt.date, settings: Upsell) -> pl.DataFrame:
    """What to suggest to each customer, `per_customer` rows at most, with rank. The chances are times acceptances over expected
    acceptances of what would have been suggested one horizon ago. The best of many rates look better than they are (the
    winner's curse), and habits change."""
    then, before = (as_of - dt.timedelta(days=horizons * settings.horizon_days) for horizons in (1, 2))
    rates = _rates(_candidates(touched, steps, before, settings), _bought(touched, before, settings))
    candidates, accepted = _candidates(touched, steps, then, settings), _bought(touched, then, settings)
    factors = _factors(_best(candidates, rates, settings), accepted)
    rates = _rates(candidates, accepted)
    corrected = pl.col("p_accept") * pl.col("factor").fill_null(1.0)
    return (
        _best(_candidates(touched, steps, as_of, settings), rates, settings)
        .join(factors, on="source", how="left", maintain_order="left")
        .with_columns(p_accept=corrected.clip(0, 1))
        .with_columns(expected_extra_margin=pl.col("p_accept") * pl.col("margin_difference"))
    )


def _best(candidates: pl.DataFrame, rates: pl.DataFrame, settings: Upsell) -> pl.DataFrame:
    """The `per_customer` candidates that promise most to each customer, with rank."""
    order = {"customer": False, "expected_extra_margin": True, "item": False, "source": False, "product": False}
    return (
        candidates.join(rates, on=["source", "product", "item", "tier"])
        .with_columns(expected_extra_margin=pl.col("p_accept") * pl.col("margin_difference"))
        .sort(list(order), descending=list(order.values()))
        # Each item once per customer, beside the product that promises most.
        .filter(_pair("item").is_first_distinct())
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("customer"))
        .filter(pl.col("rank") <= settings.per_customer)
    )


def _factors(suggested: pl.DataFrame, accepted: pl.DataFrame) -> pl.DataFrame:
    """source, factor: how many of the suggestions were accepted, over how many were expected to be."""
    # One acceptance as expected stands against chance where there are few.
    return (
        suggested.join(accepted.with_columns(took=pl.lit(1)), on=["customer", "item"], how="left")
        .group_by("source")
        .agg(factor=(pl.col("took").count() + 1) / (pl.col("p_accept").sort().sum() + 1))
    )


def _bought(touched: pl.DataFrame, after: dt.date, settings: Upsell) -> pl.DataFrame:
    """customer, item: bought within the horizon after the day."""
    until = after + dt.timedelta(days=settings.horizon_days)
    later = touched.filter((pl.col("day") > after) & (pl.col("day") <= until) & (pl.col("source") != VIEWED))
    return later.select("customer", item="product").unique()


def _candidates(touched: pl.DataFrame, steps: pl.DataFrame, until: dt.date, settings: Upsell) -> pl.DataFrame:
    """customer, tier, source, product, item, margin_difference: what could have been suggested on the day `until`."""
    is_recent = pl.col("day") > until - dt.timedelta(days=settings.lookback_days)
    is_held = pl.col("ended").is_null() | (pl.col("ended") > until)
    past = touched.filter(pl.col("day") <= until)
    known = past.filter(pl.when(pl.col("source") == PLAN).then(is_held).otherwise(is_recent))
    owned = past.filter(pl.col("source") != VIEWED).select(_pair("product"))
    return (
        known.select("customer", "source", "product")
        .unique()
        .join(steps, on="product")
        .with_columns(_pair("item"))
        .join(owned, on="pair", how="anti")
        .drop("pair")
        .join(_tiers(known), on="customer")
    )


def _pair(code: str) -> pl.Expr:
    """The customer and a product as one number, which is joined by in half the time of two."""
    return (pl.col("customer").cast(pl.UInt64) * (1 << 32) + pl.col(code)).alias("pair")


def _tiers(known: pl.DataFrame) -> pl.DataFrame:
    """customer, tier: 0, 1 or 2, the third of the customers that their spend puts them in."""
    spend = known.group_by("customer").agg(pl.col("amount").sum().cast(pl.Float64)).sort("customer")
    if spend.is_empty():
        return spend.select("customer", tier=pl.lit(0, pl.UInt32))
    lower, upper = quantiles(spend["amount"].to_numpy(), [1 / 3, 2 / 3]).tolist()
    tier = (pl.col("amount") > lower).cast(pl.UInt32) + (pl.col("amount") > upper).cast(pl.UInt32)
    return spend.select("customer", tier=tier)


def _rates(candidates: pl.DataFrame, bought: pl.DataFrame) -> pl.DataFrame:
    """p_accept, customers_alike and moved_up per source, product, item and tier, for every tier of every pair seen."""
    observed = (
        candidates.join(bought.with_columns(took=pl.lit(1)), on=["customer", "item"], how="left")
        .group_by("source", "product", "item", "tier")
        .agg(n=pl.len().cast(pl.Int64), moved=pl.col("took").count().cast(pl.Int64))
        .sort("source", "product", "item", "tier")
    )
    of_shop = observed.group_by("source").agg(shop_rate=pl.col("moved").sum() / pl.col("n").sum())
    of_tier = observed.group_by("source", "tier").agg(tier_rate=pl.col("moved").sum() / pl.col("n").sum())
    of_pair = observed.group_by("source", "product", "item", maintain_order=True).agg(pl.col("n", "moved").sum())
    of_pair = _shrunk(
        of_pair.join(of_shop.filter(pl.col("shop_rate") > 0), on="source", maintain_order="left"), "shop_rate"
    )
    # A tier's rate of a pair is expected to differ from the pair's as the tier differs from the shop.
    expected = (pl.col("rate") * pl.col("tier_rate") / pl.col("shop_rate")).clip(0, 1)
    of_tiers = (
        of_pair.drop("n", "moved")
        .join(pl.DataFrame({"tier": range(TIERS)}, schema={"tier": pl.UInt32}), how="cross")
        .join(of_tier, on=["source", "tier"], how="left")
        .with_columns(pl.col("tier_rate").fill_null(pl.col("shop_rate")))
        .with_columns(expected=expected)
        .drop("rate")
        .join(observed, on=["source", "product", "item", "tier"], how="left")
        .with_columns(pl.col("n", "moved").fill_null(0))
        .sort("source", "product", "item", "tier")
    )
    return _shrunk(of_tiers, "expected").select(
        "source", "product", "item", "tier", p_accept="rate", customers_alike="n", moved_up="moved"
    )


def _shrunk(counts: pl.DataFrame, towards: str) -> pl.DataFrame:
    """Adds `rate`: moved / n shrunk towards the rate `towards`, each source with the prior's weight by the method of moments
    (Kleinman, Proportions with extraneous variance, 1973)."""
    n, prior = pl.col("n"), pl.col(towards)
    chance = prior * (1 - prior)
    between = ((pl.col("moved") - n * prior).pow(2) - n * chance).sum() / (n * (n - 1) * chance).sum()
    # `between` is the correlation of two customers of one row: 1 / (weight + 1).
    weight = 1 / between.clip(1e-4, 0.5).fill_nan(1e-4).over("source") - 1
    return counts.with_columns(rate=(pl.col("moved") + weight * prior) / (n + weight))


def _source_names() -> pl.Expr:
    return pl.col("source").replace_strict(dict(enumerate(SOURCES)), return_dtype=pl.String)


def _explanation(settings: Upsell) -> pl.Expr:
    rise = ((pl.col("item_price") / pl.col("price") - 1) * 100).round().cast(pl.Int64)
    return pl.format(
        "{} {}: {} costs {} % more; {} of {} customers alike moved up within {} days, chance {} %.",
        pl.col("source").str.to_titlecase(),
        "name",
        "item_name",
        rise,
        "moved_up",
        "customers_alike",
        pl.lit(settings.horizon_days),
        (pl.col("p_accept") * 100).round(1),
    ).alias("explanation")
