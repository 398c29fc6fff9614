"""Log lines. Inside Antar they go to the plugin's log, elsewhere to standard error."""

import sys
from typing import Any, Callable


def _to_stderr(level: str, text: str) -> None:
    print(f"{level}: {text}", file=sys.stderr)


class _Log:
    """`log.info("found", 3)`; `print` writes lines of level info as well."""

    def __init__(self) -> None:
        self._write: Callable[[str, str], None] = _to_stderr

    def connect(self, write: Callable[[str, str], None]) -> None:
        """Called once, by what `antar plugin build` puts before a plugin."""
        self._write = write

    def _line(self, level: str, parts: Any) -> None:
        self._write(level, " ".join(map(str, parts)))

    def debug(self, *parts: Any) -> None:
        self._line("debug", parts)

    def info(self, *parts: Any) -> None:
        self._line("info", parts)

    def warn(self, *parts: Any) -> None:
        self._line("warn", parts)

    def error(self, *parts: Any) -> None:
        self._line("error", parts)


log = _Log()
