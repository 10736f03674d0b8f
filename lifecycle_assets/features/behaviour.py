"""What do a customer's visits, messages, complaints, payments and answers say?

Set-based roll-up of the optional inputs at any as_of. A count is null when the shop has no such input up to as_of, and 0
when it has one but nothing of the customer in the window; a rate or a trend is null without anything to take it of.
Windows begin at local midnight. Opens and clicks within 2 seconds of delivery (of sending, where delivery is unknown) are
machines', privacy proxies and link scanners, and do not count. Rates are of the messages whose channel reports the deed:
opens of e-mail, WhatsApp, push and in-app messages, clicks of those and of text messages and ads. Events without a session
id make one session as long as no more than 30 minutes pass between them, as in models.visitor_sessions.

A visit without a customer id is of the profile that had signed in under its visitor id by as_of, if no other had. Links of
raw.identities bear no date, so they do not count here: one made after a past day would tell of that day who came back. Web
events under which nobody ever signed in are as good as none: counts of visits are null.
"""

import datetime as dt
import zoneinfo

import dataframely as dy

from lifecycle_assets.contracts import count, number, share, table, timestamp
from lifecycle_assets.features.nps import RECOMMENDING, UNNAMED
from lifecycle_assets.features.per_customer import PerCustomer
from lifecycle_assets.sql import Sql, load

INPUTS = ("raw.web_events", "raw.engagement", "raw.support_tickets", "raw.payment_events", "raw.survey_responses")


class BehaviourColumns(dy.Schema):
    """The columns that this table and the customer features have in common."""

    sessions_12w = count("Web sessions in the last 84 days.", "sessions", nullable=True)
    views_30d = count("Product or page views in the last 30 days.", "events", nullable=True)
    carts_30d = count("Additions to the cart in the last 30 days.", "events", nullable=True)
    session_depth_trend = number(
        "Change of events per session, last 42 days against the 42 before; null without sessions in both.",
        "share",
        nullable=True,
        minimum=-1,
    )
    category_shift = share(
        "Total variation distance between the category mix of web events in the last 90 days and the mix before; "
        "null without events in both.",
        nullable=True,
    )
    sends_90d = count("Messages sent in the last 90 days.", "messages", nullable=True)
    open_rate_90d = share(
        "Of these, those on channels that report opens: opened by a person; null without such messages.", nullable=True
    )
    click_rate_90d = share(
        "Of these, those on channels that report clicks: clicked by a person; null without such messages.",
        nullable=True,
    )
    response_trend = number(
        "click_rate_90d less the click rate of the 90 days before; null without such messages in both.",
        "difference of shares",
        nullable=True,
        minimum=-1,
        maximum=1,
    )
    tickets_90d = count("Support tickets opened in the last 90 days.", "tickets", nullable=True)
    failed_payments_12m = count("Failed payments in the last 365 days.", "payments", nullable=True)
    latest_nps = number(
        "Latest answer to the recommend question; see features.nps.", "0..10", nullable=True, minimum=0, maximum=10
    )


@table("features.customer_behaviour", needs=INPUTS)
class CustomerBehaviour(PerCustomer, BehaviourColumns):
    """One row per customer: web visits, response to messages, complaints, payments, survey answers."""

    last_event_at = timestamp(
        "Latest of the web events, messages sent, tickets, failed payments and answers that the row is made of; null without "
        "any.",
        nullable=True,
    )


def customer_behaviour(shop: str, as_of: dt.date, timezone: str, nps_question: str | None = None) -> Sql:
    """What is known of each customer beside their orders as of `as_of`, whose end is the midnight that follows it in
    `timezone` (an IANA zone): a statement for CustomerBehaviour. `nps_question` is the recommend question as the survey
    words it; None: found by its words, as for features.nps."""
    zone = zoneinfo.ZoneInfo(timezone)

    def days_back(days: int) -> dt.datetime:
        return dt.datetime.combine(as_of - dt.timedelta(days=days - 1), dt.time(), zone)

    return load(
        "lifecycle_assets.features",
        "customer_behaviour",
        shop=shop,
        as_of=as_of,
        until=days_back(0),
        from_30d=days_back(30),
        from_6w=days_back(42),
        from_12w=days_back(84),
        from_90d=days_back(90),
        from_180d=days_back(180),
        from_12m=days_back(365),
        nps_question=nps_question,
        recommending=RECOMMENDING,
        unnamed=UNNAMED,
    )
