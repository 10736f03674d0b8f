"""Which customers respond because of the treatment? A random forest of uplift trees.

Each tree looks for the parts of the customers in which treated and controls differ most: a node is split where the
Kullback-Leibler divergence between the response rates of the two arms grows most, divided by a normalisation that punishes
splits which part treated from controls (Rzepakowski and Jaroszewicz, "Decision trees for uplift modeling with single and
multiple treatments", 2012); the mean over trees grown on resampled customers is the estimate (Soltys, Jaroszewicz and
Rzepakowski, "Ensemble methods for uplift modeling", 2015). Rates are drawn towards those of the node above while splits are
weighed. It is the forest of causalml's UpliftRandomForestClassifier with its defaults, on features cut into 64 bins: with
features of no more values a tree is the same, node by node. Customers too few for two leaves give one leaf: everybody has
the average effect.
"""

from dataclasses import dataclass

import numpy as np

BINS = 64
TREES = 100
DEPTH = 5
TRIED = 10
LEAST_OF_LEAF = 100


@dataclass(frozen=True)
class UpliftForest:
    """The bounds of each feature's bins, and the trees (see uplift_forest_kernel)."""

    bounds: list[np.ndarray]
    feature: np.ndarray
    cut: np.ndarray
    rate: np.ndarray

    @classmethod
    def fit(
        cls, features: np.ndarray, treated: np.ndarray, response: np.ndarray, rng: np.random.Generator
    ) -> "UpliftForest":
        """Learn from one row per customer: `features` (nan is missing), `treated` and `response` 0 or 1."""
        from lifecycle_assets.models import uplift_forest_kernel as kernel

        bounds = [closing_values(column) for column in features.T]
        nodes = 2 ** (DEPTH + 1)
        feature, cut = np.zeros((TREES, nodes), np.int64), np.zeros((TREES, nodes), np.int64)
        rate = np.zeros((TREES, nodes, 2))
        kernel.grow_forest(
            binned(features, bounds),
            (2 * treated + response).astype(np.int64),
            rng.integers(2**32, size=TREES),
            DEPTH,
            # Small campaigns get smaller leaves, down to ones that hold the least number of both arms.
            int(np.clip(treated.size // 20, 2 * kernel.LEAST_OF_ARM, LEAST_OF_LEAF)),
            min(TRIED, features.shape[1]),
            feature,
            cut,
            rate,
        )
        return cls(bounds, feature, cut, rate)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Each row's rise in the probability of a response by treatment, -1 to 1."""
        from lifecycle_assets.models import uplift_forest_kernel as kernel

        rates = kernel.read_forest(binned(features, self.bounds), self.feature, self.cut, self.rate)
        return rates[:, 1] - rates[:, 0]


def binned(features: np.ndarray, bounds: list[np.ndarray]) -> np.ndarray:
    """The bin of each value: 0 for a missing one, else 1 + the number of bounds below it."""
    bins = np.empty(features.shape, np.uint8)
    for j, (column, cuts) in enumerate(zip(features.T, bounds, strict=True)):
        bins[:, j] = np.where(np.isnan(column), 0, 1 + np.searchsorted(cuts, column, side="left"))
    return bins


def closing_values(column: np.ndarray) -> np.ndarray:
    """Values that close the bins: midway between few distinct ones, else quantiles."""
    known = np.sort(column[~np.isnan(column)])
    distinct = np.unique(known)
    if distinct.size <= BINS:
        return (distinct[:-1] + distinct[1:]) / 2
    places = np.arange(1, BINS) * known.size // BINS
    return np.unique(known[places])
