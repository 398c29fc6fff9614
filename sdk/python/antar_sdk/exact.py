"""JSON that keeps the text of numbers: 1.50 does not become 1.5, nor 1e400 inf."""

import json
import re
import sys
from typing import Any

# Refused by Python for the sake of servers; here a call's time is limited by the host.
if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)

# As int, -0 would lose its sign.
_MINUS_ZERO = re.compile(r"-0(?![0-9.eE])")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Set by the first number that is not written as Python would write it. Without one, the writer of
# the standard library does, which is faster by far.
_seen = False


class ExactNumber(float):
    """A float that is written as it was read."""

    text: str

    def __new__(cls, text: str) -> "ExactNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__

    def __getnewargs__(self) -> Any:
        return (self.text,)


def parse(text: str) -> Any:
    """JSON text as dicts, lists and the like."""
    if _MINUS_ZERO.search(text):
        return json.loads(text, parse_float=_number, parse_int=_whole)
    return json.loads(text, parse_float=_number)


def stringify(value: Any) -> str:
    """JSON text, without spaces.

    Raises ValueError for nan and inf, which JSON has no number for, and TypeError for what is none
    of dict, list, tuple, str, int, float, bool and None.
    """
    text = _written(value) if _seen else _dumps(value)
    return _LONE_SURROGATE.sub(lambda found: "\\u%04x" % ord(found.group()), text)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _number(text: str) -> float:
    global _seen
    number = float(text)
    if repr(number) == text:
        return number
    _seen = True
    return ExactNumber(text)


def _whole(text: str) -> Any:
    return _number(text) if text == "-0" else int(text)


def _written(value: Any) -> str:
    if isinstance(value, ExactNumber):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{_key(key)}:{_written(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_written, value)) + "]"
    return _dumps(value)


def _key(key: Any) -> str:
    return _dumps(key if isinstance(key, str) else _dumps(key))
