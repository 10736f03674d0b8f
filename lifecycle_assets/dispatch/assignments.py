"""Who is in which arm of which experiment: everyone, eligible or not, by a hash that never changes.

An arm depends on the experiment's name, its salt and the customer's id alone: the same every night, on every machine, in
every order of rows. The first eight hex digits of the MD5 are uniform, so a share of them below a threshold is that share
of the customers. Hex digits order as numbers do, so the comparison needs no conversion that databases spell differently.
"""

import re
from collections.abc import Mapping

import dataframely as dy

from lifecycle_assets.contracts import as_of_column, key, share, shop_key, table, text
from lifecycle_assets.settings import Experiment
from lifecycle_assets.sql import Sql, Value, load


@table("dispatch.assignments")
class Assignments(dy.Schema):
    """The arm of every customer in every experiment: holdout (gets nothing) or treatment."""

    shop_id = shop_key()
    as_of = as_of_column()
    experiment = key("The experiment.")
    customer_id = key("The customer.")
    arm = text("The arm.", nullable=False, values=["holdout", "treatment"])
    bucket = text("First eight hex digits of the hash that decides, for audit.", nullable=False)
    holdout_share = share("Share of customers that the experiment holds out.")


def assignments(experiments: Mapping[str, Experiment]) -> Sql:
    """The statement that assigns every customer of features.customer_features; no rows without experiments."""
    template = load("lifecycle_assets.dispatch", "assignments").text
    selects = []
    params: dict[str, Value] = {}
    for number, (name, experiment) in enumerate(sorted(experiments.items())):
        selects.append(re.sub(r":(\w+)", rf":\g<1>_{number}", template))
        params |= {
            f"experiment_{number}": name,
            f"salted_{number}": f"{experiment.salt}|{name}|",
            f"below_{number}": threshold(experiment.holdout_share),
            f"holdout_share_{number}": experiment.holdout_share,
        }
    if not selects:
        nobody: dict[str, Value] = {"experiment": "", "salted": "", "below": "", "holdout_share": 0.0}
        return Sql(f"SELECT * FROM ({template}) AS nobody WHERE FALSE", nobody)  # noqa: S608 - our own file
    return Sql("\nUNION ALL\n".join(selects), params)


def threshold(holdout_share: float) -> str:
    """The hex digits below which a share of all hashes lies; beyond every hash for a share of 1."""
    if holdout_share >= 1:
        return "g"
    return f"{round(holdout_share * 16**8):08x}"
