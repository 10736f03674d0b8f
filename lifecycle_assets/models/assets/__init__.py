"""The model tables as Dagster assets, one module per family: wiring only.

Here belong the inputs and outputs of each table. What a table holds and how it is computed stands in its own module.
"""
