"""A Spark cluster of two workers on this machine, where Spark and Java are installed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from resources.engine.duckdb import DuckDBEngine
from resources.engine.spark import SparkEngine

MASTER = "local-cluster[2,1,1024]"


@contextmanager
def cluster(**environment: str) -> Iterator[SparkEngine]:
    """An engine on the cluster, whose processes have this environment."""
    pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        pytest.skip("there is no Java")
    # Tables of a few rows: two hundred parts of each would only take time.
    settings = {"spark.sql.shuffle.partitions": "3", "spark.ui.enabled": "false"}
    arguments = [f"--conf {key}={value}" for key, value in settings.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", " ".join([*arguments, "pyspark-shell"]))
        for name, value in environment.items():
            patch.setenv(name, value)
        engine = SparkEngine(MASTER, DuckDBEngine("1GB"))
        yield engine
        engine.close()
