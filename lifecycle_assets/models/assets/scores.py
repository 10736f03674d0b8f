"""Scores as Dagster assets: wiring only."""
