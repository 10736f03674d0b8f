"""Who is in which arm of which experiment: everyone, eligible or not, by a hash that never changes.

An arm depends on the experiment's name, its salt and the customer's id alone: the same every night, on every machine, in
every order of rows. The first eight hex digits of the MD5 are uniform, so a share of them below a threshold is that share
of the customers; the second eight are independent of them and share the treated out over the variants. Hex digits order as
numbers do, so the comparison needs no conversion that databases spell differently.

Experiments are independent of each other, except in a layer (Tang, Agarwal, O'Brien & Meyer, Overlapping experiment
infrastructure, KDD 2010): a hash of the layer and the customer says in which experiment's part of it a customer is, so that
nobody is in two of them. Who is in none of the parts, or in another one's, has no row. Another experiment of a layer takes a
part that was free, and moves nobody.
"""

import itertools
import re
from collections.abc import Mapping

import dataframely as dy

from lifecycle_assets.contracts import as_of_column, key, share, shop_key, table, text
from lifecycle_assets.settings import Experiment
from lifecycle_assets.sql import Sql, Value, load


@table("dispatch.assignments")
class Assignments(dy.Schema):
    """The arm of every customer in every experiment: holdout (gets nothing) or treatment. Of an experiment in a layer, of
    the customers in its part of the layer."""

    shop_id = shop_key()
    as_of = as_of_column()
    experiment = key("The experiment.")
    customer_id = key("The customer.")
    arm = text("The arm.", nullable=False, values=["holdout", "treatment"])
    variant = text("Which variant of the treatment; null for those held out, and for an experiment without variants.")
    layer = text("The layer that the experiment shares with others; null without one.")
    bucket = text("First eight hex digits of the hash that decides, for audit.", nullable=False)
    holdout_share = share("Share of customers that the experiment holds out.")


def assignments(experiments: Mapping[str, Experiment]) -> Sql:
    """The statement that assigns every customer of features.customer_features; no rows without experiments."""
    template = load("lifecycle_assets.dispatch", "assignments").text
    if not experiments:
        return Sql(f"SELECT * FROM ({template}) AS nobody WHERE FALSE", _params("", Experiment()))  # noqa: S608 - our own file
    selects = []
    params: dict[str, Value] = {}
    for number, (name, experiment) in enumerate(sorted(experiments.items())):
        statement = template.replace(":variant", _variant(experiment)) if experiment.variants else template
        selects.append(re.sub(r":(\w+)", rf":\g<1>_{number}", statement))
        params |= {f"{param}_{number}": value for param, value in _params(name, experiment).items()}
    return Sql("\nUNION ALL\n".join(selects), params)


def threshold(holdout_share: float) -> str:
    """The hex digits below which a share of all hashes lies; beyond every hash for a share of 1, or as good as 1."""
    below = round(holdout_share * 16**8)
    return f"{below:08x}" if below < 16**8 else "g"


def _params(name: str, experiment: Experiment) -> dict[str, Value]:
    starts, ends = experiment.traffic
    upto = itertools.accumulate(experiment.variants.values())
    return {
        "experiment": name,
        "salted": f"{experiment.salt}|{name}|",
        "below": threshold(experiment.holdout_share),
        "holdout_share": experiment.holdout_share,
        "variant": None,
        "layer": experiment.layer,
        # No salted prefix ends like this one.
        "layered": f"layer:{experiment.layer}:",
        "starts": threshold(starts),
        "ends": threshold(ends),
        **{f"variant{place}": variant for place, variant in enumerate(experiment.variants)},
        **{f"upto{place}": threshold(share) for place, share in enumerate(upto)},
    }


def _variant(experiment: Experiment) -> str:
    """The CASE that tells the variant by the second eight digits; the last takes what rounding leaves."""
    *places, last = range(len(experiment.variants))
    whens = " ".join(f"WHEN drawn.second_bucket < :upto{place} THEN :variant{place}" for place in places)
    return f"CASE {whens} ELSE :variant{last} END"
