"""What a plugin sees of an event."""

from functools import cached_property
from typing import Any, Dict, Mapping, Optional, Union

from . import exact


class Event:
    """Something that happened.

    `data` is what was posted, as dicts and lists. Whole numbers are exact whatever their size; other
    numbers are floats that keep their text where they are not changed.
    """

    id: str
    type: str
    tenant: str
    # RFC 3339, UTC, with milliseconds.
    timestamp: str
    attributes: Dict[str, str]

    def __init__(
        self,
        data: Union[str, Dict[str, Any]],
        *,
        id: str = "01997c5a-0000-7000-8000-000000000001",
        type: str = "test.event",
        tenant: str = "default",
        timestamp: str = "2026-03-10T12:00:00.000Z",
        attributes: Optional[Mapping[str, str]] = None,
    ) -> None:
        """For unit tests: data is JSON text, or what a test puts together."""
        self.id = id
        self.type = type
        self.tenant = tenant
        self.timestamp = timestamp
        self.attributes = dict(attributes or {})
        if isinstance(data, str):
            self.text = data
        else:
            self.data = data

    @cached_property
    def data(self) -> Dict[str, Any]:
        # Read when it is asked for.
        return exact.parse(self.text)
