"""A trained classifier: probabilities, the reasons for them, and how it is stored."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl

from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.models.classifier_calibration import Calibration
from lifecycle_assets.models.classifier_candidates import ENDINGS, READERS, Fitted, side_by_side
from lifecycle_assets.models.classifier_drivers import top_drivers
from lifecycle_assets.models.classifier_encoding import Encoding

BLOCK = 50_000
Made = TypeVar("Made")


@dataclass(frozen=True)
class Classifier:
    """A trained candidate with its encoding and calibration."""

    candidate: str
    encoding: Encoding
    model: Fitted
    calibration: Calibration

    @property
    def features(self) -> list[str]:
        return self.encoding.features

    def probability(self, frame: pl.DataFrame) -> np.ndarray:
        """The calibrated probability of each row; `frame` holds the features, unseen levels are Other."""
        return np.concatenate(self._by_block(frame, lambda _, inputs: self._probability(inputs)))

    def drivers(self, frame: pl.DataFrame, n: int = 3) -> pl.DataFrame:
        """The n features that moved each row most: driver_k, effect_k (SHAP, log-odds before calibration, signed), points_k
        (points of percent that the effect is worth at the row's calibrated probability), value_k (as text)."""

        def of(block: pl.DataFrame, inputs: np.ndarray) -> pl.DataFrame:
            return top_drivers(block, self.features, self._effects(inputs), self._probability(inputs), n)

        return pl.concat(self._by_block(frame, of))

    def importance(self, frame: pl.DataFrame) -> pl.DataFrame:
        """feature and mean_abs_shap (log-odds) over the rows, the largest first."""
        sums = self._by_block(frame, lambda _, inputs: np.abs(self._effects(inputs)).sum(axis=0))
        mean = sum(sums) / max(frame.height, 1)
        made = pl.DataFrame({"feature": self.features, "mean_abs_shap": mean})
        return made.sort("mean_abs_shap", "feature", descending=[True, False])

    def files(self) -> dict[str, bytes]:
        """The model in its library's own format, and the rest as JSON."""
        model = self.model.to_bytes()
        head = {
            "candidate": self.candidate,
            "encoding": self.encoding.to_json(),
            "calibration": self.calibration.to_json(),
            "sha256": hashlib.sha256(model).hexdigest(),
        }
        return {"classifier.json": json.dumps(head).encode(), f"model.{ENDINGS[self.candidate]}": model}

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> "Classifier":
        """The classifier of `files`; raises LifecycleError on anything malformed, and executes nothing that is in them."""
        try:
            made = cls._read(files)
            probability = made.probability(pl.DataFrame({name: [None] for name in made.features}))[0]
        # The libraries raise errors of many kinds on a malformed file.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise LifecycleError(f"A stored model cannot be read: {reason}. Train the model anew.") from error
        if not 0 <= probability <= 1:
            raise LifecycleError("A stored model gives no probability. Train the model anew.")
        return made

    @classmethod
    def _read(cls, files: Mapping[str, bytes]) -> "Classifier":
        head = json.loads(files["classifier.json"])
        candidate = head["candidate"]
        stored = files[f"model.{ENDINGS[candidate]}"]
        if hashlib.sha256(stored).hexdigest() != head["sha256"]:
            raise ValueError("its file is not the one that was stored with it")
        encoding, calibration = Encoding.from_json(head["encoding"]), Calibration.from_json(head["calibration"])
        return cls(candidate, encoding, READERS[candidate](stored), calibration)

    def _by_block(self, frame: pl.DataFrame, of: Callable[[pl.DataFrame, np.ndarray], Made]) -> list[Made]:
        """`of` a block of rows and its matrix, a block per core at a time: there are never many matrices."""

        def made(first: int) -> Made:
            block = frame.slice(first, BLOCK)
            return of(block, self.encoding.matrix(block))

        with side_by_side() as pool:
            return list(pool.map(made, range(0, max(frame.height, 1), BLOCK)))

    def _probability(self, inputs: np.ndarray) -> np.ndarray:
        return self.calibration.probability(self.model.log_odds(inputs))

    def _effects(self, inputs: np.ndarray) -> np.ndarray:
        """rows x features: what each added to the log-odds, its columns together."""
        return np.add.reduceat(self.model.shap(inputs), self.encoding.starts, axis=1)
