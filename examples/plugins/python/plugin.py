"""Makes a contact, its tags and a note for a CRM that sits beside a chat."""

import re
from dataclasses import dataclass, field
from typing import Dict

from antar_sdk import Event, drop, e164, path, transform, values


@dataclass
class Settings:
    """A webhook whose config does not fit is not saved."""

    country: str = field(
        default="ID",
        metadata={"description": "Where a phone number comes from that names no country: ID, or a calling code such as 62."},
    )
    tags: Dict[str, str] = field(
        default_factory=dict,
        metadata={"description": "The CRM's tag for a label of the chat. Others become tags of their own name."},
    )


@transform(config=Settings)
def chat_crm(event: Event, config: Settings):
    """Makes a contact, its tags and a note for a CRM that sits beside a chat."""
    conversation = path(event.data, "conversation", {})
    phone = e164(path(conversation, "userData.phone"), config.country)
    if phone is None:
        return drop("no phone number")
    labels = [label for label in values(conversation, "labels") if isinstance(label, str)]
    return {
        "contact": {
            "external_id": path(conversation, "userData.id"),
            "name": re.sub(r"\s+", " ", str(path(conversation, "userData.name", ""))).strip() or phone,
            "phone": phone,
        },
        "tags": [config.tags.get(label, label.lower().replace(" ", "-")) for label in labels],
        "note": f"{event.type} at {event.timestamp}",
        "spent": path(conversation, "userData.spent"),
    }
