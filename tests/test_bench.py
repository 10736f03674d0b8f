"""The benchmarks run, and what they compare comes out equal; their figures are nobody's business here."""

import importlib
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "agreement"),
    [
        ("rollups", "29 columns equal"),
        ("ward", "equal"),
        ("cross_sell", "pairs equal"),
        ("prices", "coefficients equal"),
        ("decisions", "equal"),
        ("dispatch", "equal"),
        ("arms", "equal"),
        ("recovery", "intervals that hold the truth"),
    ],
)
def test_a_benchmark_compares_like_with_like(tmp_path: Path, name: str, agreement: str) -> None:
    text = importlib.import_module(f"bench.{name}").section(tmp_path, [20_000], "1GB")
    assert agreement in text
