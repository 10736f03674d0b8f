"""Did customers buy what models.user_recommendations showed them?

What each customer bought within the horizon of the lists, known or new to them; customers who bought nothing do not count. The
simple rule shows everybody what most customers bought in the last POPULAR_DAYS days.
"""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lifecycle_assets.models.backtest_figures import of_lists
from lifecycle_assets.models.backtest_known import Judged, Known, Scores, drawn_customers, of_profiles, unsettled
from lifecycle_assets.models.purchases import holdout
from lifecycle_assets.models.recommendation_evaluation import K, per_user
from lifecycle_assets.models.recommendations import UserRecommendations

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

POPULAR_DAYS = 90


def recommendations(then: Scores, origin: dt.date, known: Known) -> Iterator[Judged]:
    until = origin + dt.timedelta(days=known.settings.products.recommendations.horizon_days)
    lists = of_profiles(then[UserRecommendations.table], known).filter(pl.col("rank") <= K)
    who = drawn_customers(lists, known)
    if who.is_empty():
        return
    if until > known.settled:
        yield unsettled("all", until, known.settled)
        return
    bought = holdout(known.order_lines, origin, until).filter(pl.col("customer_id").is_in(who.implode()))
    if bought.is_empty():
        yield Judged("all", until, [])
        return
    listed = lists.select("customer_id", "rank", product_id="item_id").collect()
    lately = holdout(known.order_lines, origin - dt.timedelta(days=POPULAR_DAYS), origin)
    popular = lately.group_by("product_id").len().sort("len", "product_id", descending=[True, False]).head(K)
    users = bought.select(pl.col("customer_id").unique().sort())
    shown = users.join(popular.select("product_id").with_row_index("rank", offset=1), how="cross")
    named = pl.concat(frame["product_id"] for frame in (listed, bought, popular)).unique().sort()
    targets = _targets(bought, users, named)
    (recall, _, ndcg), (simple_recall, _, simple_ndcg) = (
        per_user(_places(frame, users, named), targets) for frame in (listed, shown)
    )
    figures = [*of_lists("ndcg_at_10", ndcg, simple_ndcg), *of_lists("recall_at_10", recall, simple_recall)]
    yield Judged("all", until, figures)


def _places(lists: pl.DataFrame, users: pl.DataFrame, items: pl.Series) -> np.ndarray:
    """Users x K: the positions of the listed items, -1 where a list is shorter."""
    at = _positions(lists, users, items)
    places = np.full((users.height, K), -1)
    places[at["user"].to_numpy(), at["rank"].to_numpy() - 1] = at["item"].to_numpy()
    return places


def _targets(bought: pl.DataFrame, users: pl.DataFrame, items: pl.Series) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    at = _positions(bought, users, items)
    ones = np.ones(at.height, np.float32)
    return csr_matrix((ones, (at["user"].to_numpy(), at["item"].to_numpy())), shape=(users.height, items.len()))


def _positions(rows: pl.DataFrame, users: pl.DataFrame, items: pl.Series) -> pl.DataFrame:
    return rows.join(users.with_row_index("user"), on="customer_id").join(
        items.alias("product_id").to_frame().with_row_index("item"), on="product_id"
    )
