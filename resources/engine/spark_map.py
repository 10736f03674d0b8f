"""Applies a function to items on a Spark cluster: a job whose tasks take a few items each.

The executors need the packages that the function needs, in the versions that are here.
"""

import math
import pickle
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from lifecycle_assets.errors import LifecycleError
from resources.engine.spark import SparkEngine

# A task costs some tenths of a second by itself: an executor's Python collects its garbage after each.
ITEMS_OF_TASK = 4
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class SparkMap:
    """Behaves like the builtin `map`, but for a list in its place."""

    def __init__(self, engine: SparkEngine) -> None:
        self.engine = engine

    def __call__(self, function: Callable[[Item], Answer], items: Iterable[Item], /) -> list[Answer]:
        """The function of every item, in their order.

        Raises what SparkEngine.run raises for want of a session, LifecycleError where the cluster cannot apply the function.
        """
        from py4j.protocol import Py4JError
        from pyspark import cloudpickle
        from pyspark.errors import PySparkException

        # Spark's own pickle knows no functions made within others, such as a candidate's.
        pickled = [cloudpickle.dumps((function, item)) for item in items]
        if not pickled:
            return []
        context = self.engine.session.sparkContext
        try:
            return context.parallelize(pickled, math.ceil(len(pickled) / ITEMS_OF_TASK)).map(_applied).collect()
        except (PySparkException, Py4JError) as error:
            raise LifecycleError(
                f"spark_master {context.master}: the executors cannot do their part: {_cause(error)} "
                "They need this Python version and the same lifecycle_assets with its libraries; PYSPARK_PYTHON names their "
                "Python"
            ) from error


def _applied(pickled: bytes) -> Any:
    """A function of its item; the bytes are the driver's own, sent within Spark's session."""
    function, item = pickle.loads(pickled)  # noqa: S301
    return function(item)


def _cause(error: Exception) -> str:
    """What a worker raised, or else the first line."""
    told = str(error).strip()
    raised = re.search(r"^[\w.]+(Error|Exception): .*", told, re.MULTILINE)
    return raised[0] if raised else told.split("\n", 1)[0]
