"""Tells people that something is wrong: one JSON message to the deployment's webhook."""

import json
import logging

from lifecycle_assets.settings import Alerts
from resources.database_url import with_environment
from resources.post import post

SECONDS = 10.0
LARGEST_ANSWER = 65_536


class Notifications:
    """The way to the webhook of `alerts`; without one everything is said in the log alone."""

    def __init__(self, alerts: Alerts) -> None:
        self.alerts = alerts

    def tell(self, kind: str, shop: str, run: str, text: str) -> None:
        """Log the text and post it. A receiver that does not take it is a warning: an alarm must not stop what it watches."""
        log = logging.getLogger("lifecycle")
        log.warning("%s", text)
        if self.alerts.webhook is None:
            return
        body = json.dumps({"text": text, "kind": kind, "shop": shop, "run": run}).encode()
        try:
            url = with_environment(self.alerts.webhook, "the setting alerts.webhook")
            headers = {"Content-Type": "application/json"}
            status = post(url, body, headers, seconds=SECONDS, most=LARGEST_ANSWER).status
        except (TimeoutError, ConnectionError) as error:
            log.warning("the alerts' webhook was not reached: %s", error)
            return
        if status >= 300:
            log.warning("the alerts' webhook answered %d to %s of %s", status, kind, shop or "the deployment")
