"""A shop's order lines, and whatever else the shop has, as customers, scores, forecasts, decisions and reports."""

import os

# BLAS adds up in another order with every number of threads, so that results would depend on the machine's cores. These are put
# to work by numba, polars, DuckDB and threads of our own. OpenBLAS reads this when it is loaded, by NumPy or SciPy.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
