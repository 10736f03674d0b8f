"""The way to each shop's receiver, as its settings name it, with the secrets from the environment."""

import os

from lifecycle_assets.dispatch import webhooks
from lifecycle_assets.dispatch.carrying import Carrier
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.hashing import generator
from lifecycle_assets.settings import Shop
from resources.delivery import Delivery
from resources.object_store import ObjectStoreCarrier
from resources.webhook import WebhookCarrier

SECRET = "LIFECYCLE_WEBHOOK_SECRET"  # noqa: S105 - the variable's name


class Carriers:
    """Opens ways to receivers; the batches lie in `delivery`."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery

    def of(self, shop: str, settings: Shop) -> Carrier | None:
        """The shop's carrier; null where the folder is all. Raises SettingsError when its secret is missing or wrong."""
        to = settings.dispatch.delivery
        if to.webhook:
            return WebhookCarrier(to.webhook, _secret(shop), generator(shop, "dispatch.deliveries", settings.seed))
        return ObjectStoreCarrier(to.s3, self.delivery) if to.s3 else None


def _secret(shop: str) -> bytes:
    own = f"{SECRET}_{shop.upper().replace('-', '_')}"
    for variable in (own, SECRET):
        if value := os.environ.get(variable):
            return webhooks.secret_of(value, variable)
    raise SettingsError(
        f"{shop} has dispatch.delivery.webhook, and the environment has neither {own} nor {SECRET}. "
        f'Set one to the secret that the receiver knows too, e.g. echo "whsec_$(openssl rand -base64 32)"'
    )
