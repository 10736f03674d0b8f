"""What customers are told apart by, which segmentations compete, and what is said of a segment."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle_assets.settings.base import Group, Share, nearest
from lifecycle_assets.settings.profile_fields import SOURCES

NUMERIC = [name for name, kind in SOURCES["features.customer_features"].items() if kind == "number"]
Family = Literal["KMeans", "GaussianMixture", "Agglomerative", "DBSCAN"]
Clusters = Annotated[int, Field(ge=2, le=50)]


class Insight(Group):
    """What to tell the team of a segment whose `measure` lies within the bounds."""

    measure: Literal["share_of_revenue_pct", "churn_risk", "avg_spend", "avg_frequency", "n_customers"]
    at_least: float | None = None
    at_most: float | None = None
    insight: str = Field(min_length=1)

    @model_validator(mode="after")
    def _bounded(self) -> "Insight":
        if self.at_least is None and self.at_most is None:
            raise ValueError("an insight needs at_least or at_most")
        return self


class Segmentation(Group):
    features: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("visit_frequency", "purchase_total", "category_diversity"),
        description="numeric columns of features.customer_features",
    )
    scaling: Literal["zscore", "robust", "none"] = Field(
        "zscore", description="zscore: mean and standard deviation; robust: median and interquartile range"
    )
    one_hot_top: Annotated[int, Field(ge=0, le=50)] = Field(
        0, description="the most frequent primary categories that become a 0/1 feature each"
    )
    families: Annotated[tuple[Family, ...], Field(min_length=1)] = (
        "KMeans",
        "GaussianMixture",
        "Agglomerative",
        "DBSCAN",
    )
    k_range: tuple[Clusters, Clusters] = Field((2, 10), description="fewest and most segments tried")
    dbscan_eps: Annotated[float, Field(gt=0)] = Field(0.40, description="on scaled features, beside the knee's own")
    dbscan_min_samples: Annotated[int, Field(ge=1)] = 5
    min_cluster_share: Share = Field(
        0.01, description="no segment, or cluster of the dendrogram, may be smaller than this share; 0 allows all"
    )
    max_noise_share: Share = 0.20
    keep_within: Annotated[float, Field(ge=0)] = Field(
        0.05, description="last night's segments stay while their silhouette is at most this far below the best"
    )
    exact_up_to: Annotated[int, Field(ge=1_000)] = Field(
        1_000_000,
        description="customers up to which Ward's tree is exact; above, segments are cut from the tree of a sample of as many",
    )
    sample_rows: Annotated[int, Field(ge=1_000)] = Field(
        20_000,
        description="customers that GaussianMixture, DBSCAN beyond 4 features, and bootstrap refits are fitted on at most",
    )
    stability_refits: Annotated[int, Field(ge=1)] = Field(5, description="bootstrap refits per candidate")
    subsegment_k: Annotated[tuple[Clusters, ...], Field(min_length=1)] = Field(
        (2, 3), description="numbers of sub-segments tried inside each segment"
    )
    insights: tuple[Insight, ...] = Field(
        (Insight(measure="share_of_revenue_pct", at_least=30, insight="retention & upsell"),),
        description="the first that holds is the segment's insight",
    )
    otherwise: str = Field("growth potential", description="the insight where no rule holds")

    @model_validator(mode="after")
    def _consistent(self) -> "Segmentation":
        for name in self.features:
            if name not in NUMERIC:
                raise ValueError(f"segmentation: no numeric feature '{name}'{nearest(name, NUMERIC)}")
        if self.k_range[0] > self.k_range[1]:
            raise ValueError("segmentation: k_range must not fall")
        return self
