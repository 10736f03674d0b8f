"""A shop whose customers are drawn from BG/NBD and Gamma-Gamma with known parameters, as raw order lines."""

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
from made_shop import SHOP, frame, run

from lifecycle_assets.features.snapshot import Snapshot, statements
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.settings import Customer

START = dt.date(2022, 1, 1)
AS_OF = dt.date(2023, 12, 31)
R, ALPHA, A, B = 0.8, 45.0, 0.7, 3.0
P, Q, V = 6.0, 4.0, 120.0


def order_lines(seed: int, n: int, *, days: int = 729, returned: float = 0.0) -> pl.DataFrame:
    """`n` customers who join evenly over `days` days; `returned` is the share of each purchase that comes back the same day."""
    rng = np.random.default_rng(seed)
    joined = rng.integers(0, days, n)
    rate, leaving = rng.gamma(R, 1 / ALPHA, n), rng.beta(A, B, n)
    mean = P / rng.gamma(Q, 1 / V, n)
    who, when = [np.arange(n)], [joined.astype(float)]
    at, alive = joined.astype(float), np.ones(n, dtype=bool)
    while alive.any():
        people = np.flatnonzero(alive)
        at[people] += rng.exponential(1 / rate[people])
        people = people[at[people] < days]
        alive[:] = False
        who.append(people)
        when.append(at[people])
        alive[people[rng.random(people.size) >= leaving[people]]] = True
    customer, day = np.concatenate(who), np.floor(np.concatenate(when)).astype(int)
    spend = rng.gamma(P, mean[customer] / P)
    rows = [
        {
            "line_no": 2 * i + part + 1,
            "order_id": f"O{i}",
            "customer_id": f"C{who_:05d}",
            "ordered_at": dt.datetime.combine(START + dt.timedelta(days=int(d)), dt.time(12), dt.UTC),
            "order_date": START + dt.timedelta(days=int(d)),
            "product_id": "P",
            "quantity": 1.0 if part == 0 else -1.0,
            "unit_price": amount,
            "discount_amount": 0.0,
            "amount": Decimal(f"{amount if part == 0 else -amount:.2f}"),
            "status": "completed",
        }
        for i, (who_, d, s) in enumerate(zip(customer, day, spend, strict=True))
        for part, amount in enumerate([round(float(s), 2), round(float(s) * returned, 2)])
        if amount > 0
    ]
    return frame(OrderLines, rows)


def snapshot(lines: pl.DataFrame, as_of: dt.date) -> Snapshot:
    """The shop at the end of a day, by the roll-ups themselves."""
    tables = {"raw.order_lines": lines}
    for contract, sql in statements(SHOP, as_of, Customer()):
        tables[contract.name] = run(sql, contract, tables)
    return Snapshot(as_of, tables["features.orders"], tables["features.customer_orders"])
