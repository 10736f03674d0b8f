"""The tools that batches are written for: what each carries, and the ids that it knows the shop's things by.

Keys and tokens are never settings: whoever posts the files holds them.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from lifecycle_assets.settings.base import Group

DestinationName = Literal["generic", "klaviyo", "braze", "sendgrid", "twilio", "whatsapp", "fcm"]
Email = Annotated[str, Field(pattern=r"^[\x21-\x7e]+@[^@\s]+\.[^@\s]+$")]
# Destination -> the channels that it carries -> how the customers must be addressed there; null: any way. Braze knows them
# by customer_id, whatever the channel. The generic files carry everything.
CARRIES: dict[str, dict[str, str | None]] = {
    "klaviyo": {"email": "email", "sms": "phone"},
    "braze": {"email": None, "sms": None, "whatsapp": None, "push": None},
    "sendgrid": {"email": "email"},
    "twilio": {"sms": "phone"},
    "whatsapp": {"whatsapp": "phone"},
    "fcm": {"push": "push_token"},
}


class Klaviyo(Group):
    list_id: str | None = Field(None, description="list that the profiles are added to, whose flow sends the message")


class Braze(Group):
    campaigns: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        {}, description="channel -> the API-triggered campaign that sends api_trigger_properties.${text}"
    )


class Sendgrid(Group):
    sender: Email | None = Field(None, description="verified sender's address")
    sender_name: str | None = Field(None, description="what stands before the sender's address")
    unsubscribe_group: int | None = Field(None, description="group that an unsubscribe leaves (asm.group_id)")
    batch_id: str | None = Field(
        None, description="id from POST /v3/mail/batch, under which scheduled mails can be cancelled together"
    )


class Twilio(Group):
    messaging_service_sid: str | None = Field(None, pattern="^MG[0-9a-fA-F]{32}$", description="the sending service")
    status_callback: str | None = Field(
        None, pattern="^https://[^ #]+$", description="where Twilio reports; message_id is added to the address"
    )


class Destinations(Group):
    klaviyo: Klaviyo = Klaviyo()
    braze: Braze = Braze()
    sendgrid: Sendgrid = Sendgrid()
    twilio: Twilio = Twilio()

    def problems(self, channel: str, destination: DestinationName, addressed_by: str) -> Iterator[str]:
        """What keeps the files of a channel from being written for its destination."""
        if destination == "generic":
            return
        if channel not in CARRIES[destination]:
            yield f"channel {channel}: {destination} carries {', '.join(CARRIES[destination])}, not {channel}"
            return
        needed = CARRIES[destination][channel]
        if needed not in {None, addressed_by}:
            yield f"channel {channel}: {destination} needs addressed_by: {needed}"
        place = f"channel {channel}: set dispatch.destinations.{destination}"
        if destination == "braze" and channel not in self.braze.campaigns:
            yield f"{place}.campaigns: {{{channel}: ...}}, the campaign that sends its messages"
        if destination == "sendgrid" and self.sendgrid.sender is None:
            yield f"{place}.sender, the address that mails come from"
        if destination == "twilio" and self.twilio.messaging_service_sid is None:
            yield f"{place}.messaging_service_sid, the service that sends"
