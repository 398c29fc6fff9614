"""Values by dotted path."""

from typing import Any, List

_NOTHING = object()


def path(data: Any, dotted: str, default: Any = None) -> Any:
    """The value at a path, or `default`. A number steps into a list."""
    for key in dotted.split("."):
        data = _step(data, key)
        if data is _NOTHING:
            return default
    return data


def values(data: Any, dotted: str) -> List[Any]:
    """All values at a path. A list on the way, or at the end, means each of its elements."""
    found = [data]
    for key in dotted.split("."):
        found = [part for value in found for part in _steps(value, key) if part is not _NOTHING]
    return [part for value in found for part in (value if isinstance(value, list) else [value])]


def _steps(value: Any, key: str) -> List[Any]:
    if isinstance(value, list) and not _is_index(key):
        return [part for element in value for part in _steps(element, key)]
    return [_step(value, key)]


def _step(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key, _NOTHING)
    if isinstance(value, list) and _is_index(key) and int(key) < len(value):
        return value[int(key)]
    return _NOTHING


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit()
