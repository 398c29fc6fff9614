"""What a plugin answers."""

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Union


@dataclass(frozen=True)
class Drop:
    """The event ends here. People see the reason."""

    reason: str


@dataclass(frozen=True)
class Replace:
    """New data, and what may go with it."""

    # None: the data stays as it was posted.
    data: Optional[Dict[str, Any]] = None
    # At intake only: another type.
    type: Optional[str] = None
    # At intake only. Each replaces the attribute of its name; the others stay.
    attributes: Dict[str, Any] = field(default_factory=dict)
    # In a webhook only: headers of the request.
    headers: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """At intake only: one event becomes several."""

    parts: List[Replace]


class Retry(Exception):
    """No answer now. What happens is what `on_error` of the plugin's use says."""


class Fail(Exception):
    """Gives up at once."""


def drop(reason: str) -> Drop:
    """The event ends here. People see the reason."""
    return Drop(str(reason))


def replace(
    data: Optional[Dict[str, Any]] = None,
    *,
    type: Optional[str] = None,
    attributes: Optional[Dict[str, Any]] = None,
    headers: Optional[Dict[str, Any]] = None,
) -> Replace:
    """New data with headers, or at intake with another type or attributes."""
    return Replace(data, type, attributes or {}, headers or {})


def split(parts: Iterable[Union[Dict[str, Any], Replace]]) -> Split:
    """At intake only: one event becomes several, each of data or of what `replace` makes."""
    return Split([part if isinstance(part, Replace) else Replace(part) for part in parts])


def verdict(returned: Any) -> Optional[Drop]:
    """What a filter returned, as a drop or None for pass."""
    if returned is None or returned is True:
        return None
    if returned is False:
        return Drop("the filter returned False")
    if isinstance(returned, str):
        return Drop(returned)
    if isinstance(returned, Drop):
        return returned
    raise TypeError(
        "a filter returns True, False, a reason as text, or drop(…); "
        f"this one returned {_shown(returned)}"
    )


def outcome(returned: Any) -> Union[None, Drop, Replace, Split]:
    """What a transform returned; None for unchanged."""
    answer = Replace(returned) if isinstance(returned, dict) else returned
    if answer is not None and not isinstance(answer, (Drop, Replace, Split)):
        raise TypeError(
            "a transform returns a dict, None, or what drop, replace and split make; "
            f"this one returned {_shown(returned)}"
        )
    for part in answer.parts if isinstance(answer, Split) else [answer]:
        if isinstance(part, Replace) and not isinstance(part.data, (dict, type(None))):
            raise TypeError(f"data is a dict; this one is {_shown(part.data)}")
    return answer


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.60}"
