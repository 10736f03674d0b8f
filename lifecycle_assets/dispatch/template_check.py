"""Would every message that the configuration can send fit its channel? Asked before a night has to find out.

Each programme's step, offer and channel is rendered in each language with a long name, long product names and without any.
"""

import datetime as dt
import itertools
from collections.abc import Iterator

import polars as pl

from lifecycle_assets.dispatch.messages import PRODUCT_NAMES, written_out
from lifecycle_assets.dispatch.offers import arms
from lifecycle_assets.dispatch.rendering import Group, found, languages
from lifecycle_assets.errors import DispatchError
from lifecycle_assets.settings import Shop

LONG_NAME = "Maria Guadalupe Constanza Irene"  # one letter more than a text message spells out
SOMEONE = pl.DataFrame(
    {
        "first_name": [LONG_NAME],
        "idempotency_key": ["f" * 64],
        **{name: ["A product whose name takes up a whole line of the message"] for name in PRODUCT_NAMES},
    }
)


def template_problems(shop: Shop, *, as_of: dt.date) -> Iterator[str]:
    """One sentence per message that has no template, cannot be rendered or breaks a limit of its channel, each once."""
    told = set()
    for group in groups(shop, as_of=as_of):
        try:
            broken = written_out(group, SOMEONE, shop).get_column("over_limit").item()
        except DispatchError as error:
            problem = str(error)
        else:
            problem = f"message template {group.template}, programme {group.programme}: {broken}" if broken else ""
        if problem and problem not in told:
            told.add(problem)
            yield problem


def groups(shop: Shop, *, as_of: dt.date) -> Iterator[Group]:
    """Every group of messages that may be sent on the day after as_of: with and without name and products."""
    for arm in arms(shop.routing, as_of=as_of, used={}):
        lane, content = arm.lane, arm.offer.content_type
        known = [one for one in languages(shop) if found(content, lane.channel_name, one, shop)]
        for language, named, products in itertools.product(known or ["en"], (True, False), (0, len(PRODUCT_NAMES))):
            yield Group(
                programme=lane.name,
                step=lane.number,
                offer_id=arm.offer_name,
                content_type=content,
                channel=lane.channel_name,
                discount_pct=arm.offer.discount_pct,
                language=language,
                named=named,
                products=products,
            )
