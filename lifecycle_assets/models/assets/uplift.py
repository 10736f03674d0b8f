"""The effect of campaigns as Dagster assets: wiring only."""
