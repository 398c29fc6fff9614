"""Plugins for Antar: a function that runs on an event.

>>> @transform
... def transform(event, config):
...     event.data["source"] = config["source"]
...     return event.data
"""

from .answer import Drop, Fail, Replace, Retry, Split, drop, replace, split
from .event import Event
from .exact import ExactNumber
from .log import log
from .path import path, values
from .phone import e164
from .plugin import filter, transform

__all__ = [
    "Drop",
    "Event",
    "ExactNumber",
    "Fail",
    "Replace",
    "Retry",
    "Split",
    "drop",
    "e164",
    "filter",
    "log",
    "path",
    "replace",
    "split",
    "transform",
    "values",
]
