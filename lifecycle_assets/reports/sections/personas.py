"""What a group of customers is called, and what its rule says to do, in the reader's language."""

from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.telling import Teller

NO_GROUP = 0


def persona(tell: Teller, row: Row) -> Sentence:
    """The name of the group in a row of the table `personas`, out of its codes."""
    buyers = tell.word(f"persona.{row['how_often']}.{row['how_much']}")
    name = tell.say(f"persona.lately.{row['lately']}", words={"buyers": buyers})
    if row["cluster_id"] == NO_GROUP:
        name = tell.say("persona.no_group", words={"persona": name})
    told_apart_by = row["told_apart_by"] or ""
    if "category" in told_apart_by:
        name = tell.say("persona.mainly", words={"persona": name, "category": row["category"]})
    if "number" in told_apart_by:
        name = tell.say("persona.numbered", words={"persona": name}, number=f"persona.{row['cluster_id']}.number")
    return name


def insight(tell: Teller, row: Row) -> str:
    """What to do about the group: the project's own rules in the reader's language, the shop's own as they stand."""
    return tell.word(f"insight.{row['insight']}", row["insight"])
