"""Where released batches are carried: nowhere (the folder is all), to an HTTPS webhook, or to an S3-compatible store.

Secrets are never settings: they come from the environment (docs/delivery.md).
"""

import ipaddress
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from lifecycle_assets.settings.base import Group

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _safe_address(value: str) -> str:
    """The address, unless what is sent there could be read on the way, or it holds a password."""
    address = urlsplit(value)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ValueError(f"'{value}' is not an address such as https://hooks.example/lifecycle")
    if address.username or address.password:
        raise ValueError("an address must hold no user and password; secrets come from the environment")
    if address.scheme == "http" and not _is_loopback(address.hostname):
        raise ValueError(f"'{value}' is not encrypted: http:// is for this machine alone, use https://")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Address = Annotated[str, AfterValidator(_safe_address)]


class Webhook(Group):
    url: Address = Field(description="where messages are posted; http:// to this machine alone")
    chunk: Annotated[int, Field(ge=1, le=10_000)] = Field(500, description="messages per request, at most")
    attempts: Annotated[int, Field(ge=1, le=20)] = Field(6, description="times that a request is tried in one run")
    timeout_seconds: Seconds = Field(10.0, description="an answer must be there within so many seconds")
    backoff_seconds: Seconds = Field(1.0, description="pause after the first failure; it doubles with every other one")
    longest_pause_seconds: Seconds = Field(
        120.0, description="no pause is longer; a receiver that asks for a longer one is left alone until the next run"
    )


class S3(Group):
    bucket: str = Field(min_length=3, description="the bucket, which must exist")
    prefix: str = Field(
        "", pattern="^([^/].*[^/]|[^/]?)$", description="put before <shop>/<date>/<batch>/, without / at its ends"
    )
    endpoint_url: Address | None = Field(None, description="of an S3-compatible store; default: Amazon's")
    region: str | None = Field(None, description="default: that of the environment (AWS_DEFAULT_REGION)")


class Delivery(Group):
    webhook: Webhook | None = Field(None, description="post each released message to this receiver")
    s3: S3 | None = Field(None, description="copy each released batch to this store")

    @property
    def destination(self) -> str | None:
        """What the ledger calls the receiver; null where the folder is all."""
        return "webhook" if self.webhook else "s3" if self.s3 else None

    @model_validator(mode="after")
    def _one_receiver(self) -> Self:
        if self.webhook and self.s3:
            raise ValueError("either webhook or s3: a message that goes both ways would be sent twice")
        return self
