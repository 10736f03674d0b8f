"""Planted baskets, recommendations, steps up and prices: what each shop of the tests has of them."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs.contracts import PriceHistory, Products
from lifecycle_assets.models.cross_sell import CrossSellMatrix
from lifecycle_assets.models.price_outcomes import PriceOutcomes
from lifecycle_assets.models.prices import PriceRecommendations
from lifecycle_assets.models.recommendation_evaluation import RecommendationEvaluation
from lifecycle_assets.models.recommendations import UserRecommendations
from lifecycle_assets.models.upsell import UpsellSuggestions

AS_OF = dt.date(2024, 6, 30)
Row = dict[str, Any]
# Two products of one name, one without a name.
NAMES = {"p1": "Green tea", "p2": "Green tea", "p3": None, "p4": "Tea pot <1 l>", "p5": "Biscuits", "p6": "Honey"}
# Baskets with each category, and with both of two: Tea and Honey are tied, Coffee and Honey keep apart.
CATEGORIES = {"Tea": 400, "Coffee": 300, "Honey": 120}
TIED = {("Coffee", "Tea"): 150, ("Honey", "Tea"): 90, ("Coffee", "Honey"): 22}
PRODUCTS = {"p1": 90, "p2": 80, "p3": 70, "p5": 25}
ALONE = {("p1", "p2"): 25, ("p1", "p3"): 24, ("p3", "p5"): 22}
BASKETS = 1000


def frames(case: str) -> dict[str, pl.LazyFrame]:
    """The tables of a shop by their short names; those of an unknown case have no rows."""
    made: dict[Contract, list[Row]] = {
        CrossSellMatrix: _MATRIX.get(case, list)(),
        Products: [{"product_id": product, "name": name} for product, name in NAMES.items()],
        UserRecommendations: _LISTS.get(case, list)(),
        RecommendationEvaluation: _TESTS.get(case, list)(),
        UpsellSuggestions: _STEPS.get(case, list)(),
        PriceHistory: [{"product_id": "p1", "date": AS_OF, "price": 2.0}] if case == "rising" else [],
    }
    made[PriceRecommendations], made[PriceOutcomes] = priced(_PRICES.get(case, []))
    return {contract.table: table(contract, rows).lazy() for contract, rows in made.items()}


def table(contract: Contract, rows: list[Row]) -> pl.DataFrame:
    stamped = [{"shop_id": "s", "as_of": AS_OF, **row} for row in rows]
    frame = pl.DataFrame(stamped, contract.polars_schema)
    contract.require(frame)
    return frame


def pairs(level: str, single: Mapping[str, int], both: Mapping[tuple[str, str], int]) -> list[Row]:
    """Rows of models.cross_sell_matrix out of counts of baskets."""
    rows = [_pair(level, item, item, support, support, support) for item, support in single.items()]
    for (one, other), support in both.items():
        rows.append(_pair(level, one, other, single[one], single[other], support))
        rows.append(_pair(level, other, one, single[other], single[one], support))
    return rows


def _pair(level: str, one: str, other: str, n_one: int, n_other: int, n_both: int) -> Row:
    lift = n_both * BASKETS / (n_one * n_other)
    spread = math.exp(1.96 * math.sqrt(1 / n_both - 1 / n_one - 1 / n_other + (2 * lift - 1) / BASKETS))
    ends = {} if one == other else {"lift_lo": lift / spread, "lift_hi": lift * spread}
    return {
        "level": level,
        "item_i": one,
        "item_j": other,
        "support_i": n_one,
        "support_j": n_other,
        "support_ij": n_both,
        "confidence": n_both / n_one,
        "lift": lift,
        **ends,
        "significant": bool(ends) and ends["lift_lo"] > 1,
    }


def _lists(customers: int, products: int, sources: list[str]) -> list[Row]:
    """Lists that get shorter from customer to customer."""
    return [
        {
            "customer_id": f"c{customer:02}",
            "rank": rank,
            "item_id": f"p{rank}",
            "score": 0.5,
            "source": sources[(customer + rank) % len(sources)],
            "explanation": "Popular with At-Risk customers.",
        }
        for customer in range(customers)
        for rank in range(1, max(1, products - customer) + 1)
    ]


def _test(chosen: str, scores: Mapping[str, tuple[float, float, float] | None]) -> list[Row]:
    return [
        {
            "model": model,
            **({} if score is None else dict(zip(("ndcg_lo", "ndcg_at_10", "ndcg_hi"), score, strict=True))),
            **({} if score is None else {"recall_at_10": score[1] / 2, "map_at_10": 0.1, "coverage": score[1] / 4}),
            "chosen": model == chosen,
            "n_users": 180 if score else 0,
            "split_date": AS_OF - dt.timedelta(days=28),
            "holdout_until": AS_OF,
        }
        for model, score in scores.items()
    ]


def _steps(customers: int, basis: str) -> list[Row]:
    steps = [("p1", "p4", 2.0, 3.0, 0.10), ("p5", "p6", 4.0, 5.5, 0.04)]
    return [
        {
            "customer_id": f"c{customer:02}",
            "rank": rank,
            "product_id": first,
            "item_id": second,
            "source": "bought",
            "price": price,
            "item_price": item_price,
            "p_accept": chance,
            "margin_difference": item_price - price,
            "expected_extra_margin": chance * (item_price - price),
            "basis": basis,
            "customers_alike": 40,
            "moved_up": 4,
            "explanation": "Bought.",
        }
        for customer in range(customers)
        for rank, (first, second, price, item_price, chance) in enumerate(steps[: 1 if customers == 1 else 2], 1)
    ]


def price(
    product: str,
    current: float,
    best: float | None,
    elasticity: tuple[float, float, float] | None,
    units: float = 100.0,
    cost: float | None = None,
    weighed: bool = True,
) -> Row:
    """A planted product: `elasticity` as (lo, value, hi), `best` its advised price, `weighed` whether candidate prices were."""
    return locals()


def priced(planted: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of models.price_recommendations and models.price_outcomes of products with a constant elasticity."""
    advice, outcomes = [], []
    for row in planted:
        lo, value, hi = row["elasticity"] or (None, None, None)
        goal = "revenue" if row["cost"] is None else "profit"
        advice.append(
            {
                "product_id": row["product"],
                "current_price": row["current"],
                "best_price": row["best"],
                "optimize_for": goal,
                "elasticity": value,
                "elasticity_lo": lo,
                "elasticity_hi": hi,
                "algorithm": "elastic_net",
                "train_rows": 80,
                "gain_pct": None if row["best"] is None else 1.0,
                "interpretation": "No price is advised.",
            }
        )
        if not row["weighed"] or value is None:
            continue
        for asked in sorted({row["current"], row["best"] or row["current"]}):
            units = row["units"] * (asked / row["current"]) ** value
            revenue = [asked * units * end for end in (0.8, 1.0, 1.25)]
            margin = None if row["cost"] is None else (asked - row["cost"]) / asked
            profit = [None if margin is None else margin * end for end in revenue]
            outcomes.append(
                {
                    "product_id": row["product"],
                    "price": asked,
                    **dict(zip(_ends("units"), (units * 0.8, units, units * 1.25), strict=True)),
                    **dict(zip(_ends("revenue"), revenue, strict=True)),
                    **dict(zip(_ends("profit"), profit, strict=True)),
                    "is_current": asked == row["current"],
                    "allowed": row["best"] is not None,
                    "is_best": asked == row["best"],
                }
            )
    return advice, outcomes


def _ends(name: str) -> list[str]:
    return [f"expected_{name}_lo", f"expected_{name}", f"expected_{name}_hi"]


_MATRIX = {
    "rising": lambda: pairs("category", CATEGORIES, TIED) + pairs("item", PRODUCTS, ALONE),
    "flat": lambda: pairs("category", CATEGORIES, {("Coffee", "Tea"): 118, ("Coffee", "Honey"): 22}),
    "falling": lambda: pairs("item", PRODUCTS, ALONE),
    "tiny": lambda: pairs("item", {"p1": 30, "p2": 25}, {("p1", "p2"): 20}),
    "silent": lambda: pairs("category", CATEGORIES, {("Coffee", "Honey"): 22}),
}
_LISTS = {
    "rising": lambda: _lists(12, 5, ["buy_again", "als", "buy_again"]),
    "flat": lambda: _lists(8, 3, ["content"]),
    "falling": lambda: _lists(6, 4, ["popular"]),
    "tiny": lambda: _lists(1, 2, ["als"]),
}
_TESTS = {
    "rising": lambda: _test(
        "blend",
        {
            "blend": (0.28, 0.3, 0.32),
            "als": (0.2, 0.21, 0.23),
            "buy_again": (0.15, 0.2, 0.24),
            "popular": (0.1, 0.12, 0.13),
        },
    ),
    "flat": lambda: _test("content", {"content": (0.1, 0.14, 0.18), "popular": (0.09, 0.12, 0.15)}),
    "falling": lambda: _test("popular", {"popular": (0.09, 0.12, 0.15), "als": (0.05, 0.07, 0.1)}),
    "tiny": lambda: _test("als", {"als": None, "popular": None}),
}
_STEPS = {
    "rising": lambda: _steps(9, "margin"),
    "falling": lambda: _steps(3, "price"),
    "tiny": lambda: _steps(1, "price"),
}
_UNCLEAR = price("p6", 5.0, None, (-3.0, -1.0, 0.4), weighed=False)
_PRICES = {
    # Of four changes the gain of p2 and of p5 is not beyond chance; p3 stays as it is.
    "rising": [
        price("p1", 10.0, 8.0, (-3.4, -2.6, -1.8)),
        price("p2", 5.0, 4.5, (-3.0, -1.5, -0.2)),
        price("p3", 3.0, 3.0, (-2.0, -1.0, -0.5)),
        price("p4", 20.0, 24.0, (-1.6, -1.2, -0.8), units=30.0, cost=8.0),
        price("p5", 6.0, 6.6, (-4.0, -2.0, -1.0), units=50.0, cost=2.5),
        _UNCLEAR,
        price("p7", 5.0, None, None),
        price("p8", 5.0, None, (-14.0, -12.0, -10.5), weighed=False),
        price("p9", 5.0, None, (-4.0, -3.0, -2.0), weighed=False),
        price("p10", 5.0, None, (-4.0, -3.0, -2.0)),
        price("p11", 5.0, None, None),
    ],
    "flat": [price("p1", 10.0, 10.0, (-1.4, -1.0, -0.6)), price("p3", 3.0, 3.0, (-2.0, -1.0, -0.5))],
    "falling": [price("p1", 10.0, 8.0, (-2.0, -1.1, -0.2)), price("p3", 3.0, 2.4, (-1.8, -1.2, -0.9), units=40.0)],
    "tiny": [price("p2", 5.0, 4.0, (-7.0, -6.0, -5.0), cost=2.0)],
    "silent": [_UNCLEAR],
}
