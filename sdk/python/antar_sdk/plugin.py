"""The decorators that make a function a plugin."""

import inspect
from dataclasses import is_dataclass
from typing import Any, Callable, Dict, Optional, Union

from . import config as configs
from .event import Event

Function = Callable[..., Any]


class Plugin:
    """A function, and what is known of it."""

    def __init__(self, kind: str, function: Function, config: Any) -> None:
        self.kind = kind
        self.function = function
        self.description = inspect.getdoc(function) or ""
        self.config_type = config if is_dataclass(config) else None
        self.config_schema: Optional[Dict[str, Any]] = (
            configs.schema(config) if is_dataclass(config) else config
        )
        self._takes_config = len(inspect.signature(function).parameters) > 1

    def call(self, event: Event, config: Any) -> Any:
        """What the function returns."""
        if not self._takes_config:
            return self.function(event)
        if self.config_type is not None:
            config = configs.read(self.config_type, config, "config")
        return self.function(event, config)


# The one of this project.
_made: Optional[Plugin] = None


def made(kind: str) -> Plugin:
    """The project's plugin, for the world that it is built for."""
    if _made is None:
        raise TypeError(f"plugin.py has no function with @{kind}")
    if _made.kind != kind:
        raise TypeError(
            f"plugin.py has @{_made.kind}, and antar-plugin.yaml says `kind: {kind}`: "
            "correct one of them"
        )
    return _made


def filter(function: Optional[Function] = None, *, config: Union[None, type, Dict[str, Any]] = None) -> Any:
    """Makes a function a filter. It takes an event and, if it likes, a config.

    True or None lets the event pass; False, a text or drop("…") drops it, with the text as the
    reason that people see. The function's doc string is the plugin's description. `config` is a
    dataclass, or a JSON Schema as a dict.
    """
    return _decorator("filter", function, config)


def transform(function: Optional[Function] = None, *, config: Union[None, type, Dict[str, Any]] = None) -> Any:
    """Makes a function a transform. It takes an event and, if it likes, a config.

    It returns the new data as a dict, None for unchanged, or what drop, replace and split make. The
    function's doc string is the plugin's description. `config` is a dataclass, or a JSON Schema as
    a dict.
    """
    return _decorator("transform", function, config)


def _decorator(kind: str, function: Optional[Function], config: Any) -> Any:
    def decorate(function: Function) -> Function:
        global _made
        if _made is not None:
            raise TypeError(f"a plugin has one function; @{_made.kind} and @{kind} make two")
        _made = Plugin(kind, function, config)
        # It stays what it is, so that unit tests call it.
        return function

    return decorate if function is None else decorate(function)
