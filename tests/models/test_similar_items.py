"""Similar items are the exact blend of two cosines, and planted likeness is found."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from product_shop import AS_OF, SHOP, order_lines, products, shop, with_future
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_rows
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.inputs.contracts import Products as Catalogue
from lifecycle_assets.models import item_text
from lifecycle_assets.models.similar_items import SimilarItems, item_factors, similar_items
from lifecycle_assets.settings import Products, Recommendations
from lifecycle_assets.settings import SimilarItems as Settings

SETTINGS = Products(similar_items=Settings(factors=8, iterations=10))


def alike(lines: pl.LazyFrame, goods: pl.LazyFrame, given_settings: Products = SETTINGS) -> pl.DataFrame:
    made = similar_items(lines, goods, item_factors(lines, SHOP, AS_OF, given_settings, 0), SHOP, AS_OF, given_settings)
    SimilarItems.require(SimilarItems.conform(made.lazy()).collect())
    assert made.equals(made.sort("product_id", "rank"))
    return made


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return alike(*shop())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([3, 40]))
def test_the_best_are_those_of_the_full_matrix(seed: int, blend: float, common: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = 90, 6
    texts = normalize(random_rows(n, 60, 0.08, format="csr", dtype=np.float32, random_state=rng))
    # Some products share a text.
    number = np.where(rng.random(n) < 0.5, rng.integers(0, n, n), np.arange(n))
    texts = texts[number]
    vectors = normalize(rng.normal(size=(n, 4))).astype(np.float32) * (rng.random(n) < 0.7)[:, None].astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_text, "COMMON", common)
        codes, values = item_text.most_alike(
            item_text.Texts(texts, number), np.arange(n), np.ones(n, bool), k, vectors, blend
        )
    words, who = (texts @ texts.T).toarray(), np.clip(vectors @ vectors.T, 0, None)
    is_rare = texts.getnnz(axis=0) <= common
    share_a_rare_word = (texts[:, is_rare] @ texts[:, is_rare].T).toarray() > 0
    full = np.where(share_a_rare_word | (blend * who > 0), (1 - blend) * words + blend * who, 0)
    np.fill_diagonal(full, 0)
    assert np.allclose(values, -np.sort(-full, axis=1)[:, :k], atol=2e-6)
    listed = codes >= 0
    assert np.allclose(np.take_along_axis(full, np.maximum(codes, 0), 1)[listed], values[listed], atol=2e-6)
    assert all(len({*row} - {-1}) == (row >= 0).sum() for row in codes)


def test_texts_are_those_of_scikit_learn() -> None:
    goods = products().with_columns(brand=pl.lit(None, pl.String), metadata=pl.lit(None, pl.String))
    goods = pl.concat([goods, goods])
    rows, number = item_text.read_texts(goods)
    assert (number[: len(number) // 2] == number[len(number) // 2 :]).all()
    theirs = TfidfVectorizer(ngram_range=(1, 2)).fit_transform(
        f"{name} {category}" for name, category in goods.select("name", "category").rows()
    )
    assert abs((rows @ rows.T) - (theirs @ theirs.T)).max() < 1e-5


def test_scores_are_the_blend_that_they_say(table: pl.DataFrame) -> None:
    blend = 0.5 * table["cf_similarity"] + 0.5 * table["text_similarity"]
    assert (table["score"] - blend).abs().max() < 3e-6
    both = table.filter((pl.col("cf_similarity") > 0) & (pl.col("text_similarity") > 0))
    assert both["source"].unique().to_list() == ["blend"]
    assert both.height == (table["source"] == "blend").sum()


def test_products_of_one_taste_find_each_other(table: pl.DataFrame) -> None:
    tastes = table.filter(pl.col("product_id").str.contains("-"), pl.col("rank") <= 5)
    same = tastes.select(pl.col("item_id").str.split("-").list[0] == pl.col("product_id").str.split("-").list[0])
    assert same.to_series().mean() > 0.95


def test_a_product_that_nobody_bought_goes_by_its_words(table: pl.DataFrame) -> None:
    new = table.filter(pl.col("product_id") == "garden-new")
    assert new["source"].unique().to_list() == ["content"]
    assert new["item_id"].str.starts_with("garden").all()


def test_without_texts_it_goes_by_the_buyers_and_without_buyers_by_the_texts() -> None:
    textless = products().with_columns(name=None, category=None)
    assert alike(*shop(goods=textless))["source"].unique().to_list() == ["cf"]
    few = SETTINGS.model_copy(update={"recommendations": Recommendations(min_users=1_000)})
    assert alike(*shop(), few)["source"].unique().to_list() == ["content"]


def test_nothing_gives_an_empty_table() -> None:
    lines = OrderLines.empty().lazy()
    factors = item_factors(lines, SHOP, AS_OF, SETTINGS, 0)
    assert factors.is_empty()
    assert similar_items(lines, Catalogue.empty().lazy(), factors, SHOP, AS_OF, SETTINGS).equals(SimilarItems.empty())


def test_between_two_trainings_a_new_product_goes_by_its_words(table: pl.DataFrame) -> None:
    lines, goods = shop()
    factors = item_factors(lines, SHOP, AS_OF, SETTINGS, 0)
    without = factors.filter(pl.col("product_id") != factors["product_id"][0])
    made = similar_items(lines, goods, without, SHOP, AS_OF, SETTINGS)
    of_new = made.filter(pl.col("product_id") == factors["product_id"][0])
    assert of_new["source"].unique().to_list() == ["content"]
    others = [
        frame.filter(pl.col("rank") == 1, pl.col("product_id") != factors["product_id"][0]) for frame in (made, table)
    ]
    assert (others[0]["item_id"] == others[1]["item_id"]).mean() > 0.9


def test_the_same_whatever_the_order_of_rows(table: pl.DataFrame) -> None:
    shuffled = (
        order_lines().sample(fraction=1, shuffle=True, seed=2),
        products().sample(fraction=1, shuffle=True, seed=2),
    )
    assert alike(*shop(*shuffled)).equals(table)


def test_rows_without_words_are_like_nothing() -> None:
    texts = item_text.Texts(csr_matrix((3, 0), dtype=np.float32), np.zeros(3, int))
    codes, values = item_text.most_alike(texts, np.arange(3), np.ones(3, bool), 2, np.zeros((3, 0), np.float32), 0.5)
    assert (codes == -1).all()
    assert (values == 0).all()


def test_what_comes_later_changes_nothing(table: pl.DataFrame) -> None:
    assert alike(*shop(with_future(order_lines()))).equals(table)
