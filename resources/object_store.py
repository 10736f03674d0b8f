"""Copies released batches to an S3-compatible store: `<prefix>/<shop>/<as_of>/<batch_id>/`, the manifest last.

Every file is held to the SHA-256 in the manifest, here before it is sent and by the store when it arrives. The manifest is
only put where there is none yet (If-None-Match), so that who watches for it never sees half a batch, and never another one
in its place. A batch whose manifest is there is not uploaded again, although an erasure may have
rewritten the folder since.
"""

import base64
import datetime as dt
import hashlib
import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from lifecycle_assets.dispatch.carrying import Parcel, Receipt
from lifecycle_assets.dispatch.undo import cancel_name
from lifecycle_assets.errors import DispatchError
from lifecycle_assets.settings import S3
from resources.delivery import MANIFEST, Delivery
from resources.erasure import NOTE

ATTEMPTS = 5


class ObjectStoreCarrier:
    """The way to one shop's bucket. Credentials come from where Amazon's own tools take them: environment, role, profile."""

    destination = "s3"
    chunk: int | None = None

    def __init__(self, settings: S3, delivery: Delivery) -> None:
        self.settings = settings
        self.delivery = delivery

    def clock(self) -> dt.datetime:
        return dt.datetime.now(tz=dt.UTC)

    def carry(self, parcel: Parcel) -> Receipt:
        """Copy the batch's folder; what may pass is tried again by Amazon's library."""
        from botocore.exceptions import BotoCoreError, ClientError

        folder = self.delivery.folder(parcel.shop, parcel.as_of, parcel.batch_id)
        place = "/".join(filter(None, [self.settings.prefix, parcel.shop, parcel.as_of.isoformat(), parcel.batch_id]))
        try:
            self._copy(folder, place)
        except ClientError as error:
            metadata = error.response["ResponseMetadata"]
            status, tries = metadata["HTTPStatusCode"], metadata.get("RetryAttempts", 0) + 1
            return Receipt(self.clock(), False, tries, status, f"HTTP {status}: {error.response['Error']['Code']}")
        except BotoCoreError as error:
            return Receipt(self.clock(), False, 1, error=f"no answer: {type(error).__name__}")
        except OSError as error:
            return Receipt(self.clock(), False, 1, error=f"the batch's folder cannot be read: {error.strerror}")
        except DispatchError as error:
            return Receipt(self.clock(), False, 1, error=str(error))
        return Receipt(self.clock(), True, 1, 200)

    def cancel(self, parcel: Parcel) -> Receipt:
        """Copy the folder of the batch's cancel file, beside the batch's."""
        return self.carry(replace(parcel, batch_id=cancel_name(parcel.batch_id)))

    def _copy(self, folder: Path, place: str) -> None:
        """Have the batch in the store, whole and as it was released; raises DispatchError where that cannot be."""
        from botocore.exceptions import ClientError

        manifest = (folder / MANIFEST).read_bytes()
        held = self._held(f"{place}/{MANIFEST}")
        if held is None:
            for name, facts in json.loads(manifest)["files"].items():
                with (folder / name).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != facts["sha256"]:
                        raise DispatchError(f"{name} is not as it was released")
                    file.seek(0)
                    self._put(f"{place}/{name}", file, bytes.fromhex(facts["sha256"]))
            try:
                self._put(f"{place}/{MANIFEST}", manifest, hashlib.sha256(manifest).digest(), IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
                held = self._held(f"{place}/{MANIFEST}")
        if held not in {None, manifest} and not _is_before_erasure(held, manifest):
            raise DispatchError("the store holds another manifest of the batch")

    def _held(self, key: str) -> bytes | None:
        """The object's content, or null where there is none."""
        try:
            return self._client.get_object(Bucket=self.settings.bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey:
            return None

    def _put(self, key: str, body: BinaryIO | bytes, sha256: bytes, **more: str) -> None:
        checksum = base64.b64encode(sha256).decode()
        more |= {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}
        answer = self._client.put_object(Bucket=self.settings.bucket, Key=key, Body=body, **more)
        # Amazon refuses what does not fit its checksum; a store that only says what it got is held to it here.
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise DispatchError("the store did not get a file as it was sent")

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS}, connect_timeout=10, read_timeout=60
        )
        region, endpoint = self.settings.region, self.settings.endpoint_url
        return boto3.client("s3", region_name=region, endpoint_url=endpoint, config=config)


def _is_before_erasure(held: bytes, manifest: bytes) -> bool:
    """Whether the store holds the manifest as it was before an erasure took somebody out of the batch here."""
    own = json.loads(manifest)
    try:
        other = json.loads(held)
    except ValueError:
        return False
    return NOTE in own and isinstance(other, dict) and all(own.get(n) == other.get(n) for n in ("batch_id", "cancels"))
