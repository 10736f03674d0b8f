"""Are the factors the same in every process: with kernels compiled just now, read from the cache, on one thread or two?"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIT = """
import hashlib
import numpy as np
from scipy.sparse import random
from lifecycle_assets.models.als import fit

shares = random(3000, 20000, density=0.01, random_state=1, format="csr", dtype=np.float32)
shares.data = np.ceil(shares.data * 5)
factors = fit(shares, 50, 6, 3, np.random.default_rng(1))
print(hashlib.sha256(factors.customers.tobytes() + factors.items.tobytes()).hexdigest())
"""


def test_the_factors_do_not_depend_on_how_the_kernel_was_compiled_or_on_the_threads(tmp_path: Path) -> None:
    def fitted(cache: str, **others: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / cache), **others}
        return subprocess.run([sys.executable, "-c", FIT], env=env, capture_output=True, text=True, check=True).stdout

    compiled = fitted("a")
    assert {fitted("a"), fitted("a", NUMBA_NUM_THREADS="1"), fitted("b")} == {compiled}
