"""Configs as dataclasses: the schema of one, and one from what a webhook gives."""

import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Dict, Union

from .answer import Fail

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def schema(kind: Any) -> Dict[str, Any]:
    """JSON Schema of a type.

    A field's description is its metadata: `field(metadata={"description": "…"})`. Fields with a
    default may be left out; others than those of the class are refused.
    """
    if kind is Any:
        return {}
    if kind in _NAMES:
        return {"type": _NAMES[kind]}
    if is_dataclass(kind):
        return _object(kind)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is list or origin is list:
        return {"type": "array", **({"items": schema(inner[0])} if inner else {})}
    if kind is dict or origin is dict:
        return {"type": "object", **({"additionalProperties": schema(inner[1])} if inner else {})}
    if origin is typing.Literal:
        return {"enum": list(inner)}
    # `str | None` has an origin of its own, beside that of Optional[str].
    if origin is Union or getattr(origin, "__name__", "") == "UnionType":
        return {"anyOf": [schema(one) for one in inner]}
    raise TypeError(f"{kind} can't be in a config: take str, int, float, bool, list, dict, Literal, Optional or a dataclass")


def _object(kind: Any) -> Dict[str, Any]:
    types = typing.get_type_hints(kind)
    properties, required = {}, []
    for one in fields(kind):
        properties[one.name] = {**schema(types[one.name]), **one.metadata}
        if one.default is not MISSING:
            properties[one.name]["default"] = one.default
        elif one.default_factory is MISSING:
            required.append(one.name)
    title = {"title": kind.__name__}
    return {**title, "type": "object", "properties": properties, "required": required, "additionalProperties": False}


def read(kind: Any, given: Any, path: str) -> Any:
    """A value of a type. The server has checked it against the schema when the webhook was saved."""
    if is_dataclass(kind):
        if not isinstance(given, dict):
            raise Fail(f"{path} is an object")
        types = typing.get_type_hints(kind)
        needed = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
        for name in sorted(needed - given.keys()):
            raise Fail(f"{path}.{name} is missing")
        for name in given.keys() - types.keys():
            raise Fail(f"{path}.{name}: there is no such field")
        return kind(**{name: read(types[name], value, f"{path}.{name}") for name, value in given.items()})
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is list and isinstance(given, list):
        return [read(inner[0], one, f"{path}.{index}") for index, one in enumerate(given)]
    if typing.get_origin(kind) is dict and isinstance(given, dict):
        return {key: read(inner[1], one, f"{path}.{key}") for key, one in given.items()}
    named = [one for one in inner if is_dataclass(one)]
    if typing.get_origin(kind) is Union and isinstance(given, dict) and len(named) == 1:
        return read(named[0], given, path)
    if kind in _NAMES and not _is(kind, given):
        raise Fail(f"{path} is of type {_NAMES[kind]}, and {given!r:.60} is not")
    return given


def _is(kind: type, given: Any) -> bool:
    if isinstance(given, bool):
        return kind is bool
    return isinstance(given, (int, float) if kind is float else kind)
