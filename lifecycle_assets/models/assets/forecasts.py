"""Forecasts as Dagster assets: wiring only."""
