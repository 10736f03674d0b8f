"""Shares of an order's total on its lines, exact to the last ten-thousandth."""

import polars as pl

UNITS = 10_000


def spread(lines: pl.DataFrame, order: str, total: str, weight: str, share: str) -> pl.DataFrame:
    """Add the column `share`: each line's part of `total` (currency, the same on all lines of an order), in proportion to
    `weight`; the parts of an order add up to its total rounded to four decimals. Without any weight the first line bears all.

    Each line gets the difference of two rounded running totals, so what rounding takes from one line the next one has.
    """
    whole = (pl.col(total) * UNITS).round().cast(pl.Int64)
    running = pl.col(weight).cum_sum().over(order)
    weights = pl.col(weight).sum().over(order)
    # Without any weight the quotient is no number, and the whole is due from the first line on.
    until = (whole * (running / weights)).round().cast(pl.Int64, strict=False).fill_null(whole)
    # The last line's running total is the sum itself, give or take a bit: there the whole is due.
    last = pl.int_range(pl.len()).over(order) == pl.len().over(order) - 1
    due = pl.when(last).then(whole).otherwise(until)
    lines = lines.with_columns(due.alias(share))
    return lines.with_columns(
        ((pl.col(share) - pl.col(share).shift(1).over(order).fill_null(0)) / UNITS).fill_null(0.0).alias(share)
    )
