"""How scores are trained, and what is called high."""

from typing import Annotated, Literal

from pydantic import Field

from lifecycle_assets.settings.base import Group, Share

AtLeastOne = Annotated[int, Field(ge=1)]
CandidateName = Literal["logistic", "random_forest", "xgboost", "catboost"]


class Tiers(Group):
    """Least probability of each tier; below `low` it is Very Low."""

    very_high: Share = 0.90
    high: Share = 0.70
    medium: Share = 0.40
    low: Share = 0.20


class RiskBands(Group):
    """Least churn probability of each band; below `medium` it is Low."""

    high: Share = 0.60
    medium: Share = 0.25


class Scores(Group):
    snapshots: Annotated[int, Field(ge=2)] = Field(
        4, description="past days that the models learn from, spaced by the label window; the last is the test"
    )
    candidates: tuple[CandidateName, ...] = ("logistic", "random_forest", "xgboost", "catboost")
    folds: Annotated[int, Field(ge=2)] = Field(5, description="folds of the cross-validation, grouped by customer")
    min_class: AtLeastOne = Field(20, description="rows of each class without which nothing is learnt")
    training_rows: Annotated[int, Field(ge=1_000)] = Field(
        100_000, description="rows learnt from at most, drawn at random"
    )
    retrain_days: AtLeastOne | None = Field(
        None,
        description="age at which models are trained and candidates race anew; default: by the tier, "
        "7 (starter, pro) or 1 (agency, enterprise)",
    )
    drift_psi: Annotated[float, Field(gt=0)] = Field(
        0.2, description="population stability index beyond which a feature or a score counts as drifted"
    )
    products: tuple[str, ...] = Field(
        (), description="products whose purchase is predicted; none: those that sell most"
    )
    top_products: AtLeastOne = Field(20, description="how many of those that sold for most in the last year")
    tiers: Tiers = Tiers()
    tier_quantiles: bool = Field(False, description="tiers are shares of the customers instead of probabilities")
    risk_bands: RiskBands = RiskBands()
