"""A plugin as a component. `antar plugin build` writes the module that uses this.

`componentize_py_types` and `wit_world` are made by componentize-py, from the contract.
"""

from typing import Any, List, Tuple

from componentize_py_types import Err
from wit_world.imports import log as host_log
from wit_world.imports import types

from .answer import Drop, Fail, Replace, Retry, outcome, verdict
from .event import Event
from .exact import parse, stringify
from .log import log
from .plugin import Plugin, made

_LEVELS = {level.name.lower(): level for level in host_log.Level}


def export(kind: str) -> Any:
    """The class that componentize-py looks for."""
    plugin = made(kind)
    log.connect(lambda level, text: host_log.write(_LEVELS[level], _clean(text)))
    answer = _verdict if kind == "filter" else _outcome

    class Export:
        def describe(self) -> Any:
            schema = "" if plugin.config_schema is None else stringify(plugin.config_schema)
            return types.About(description=plugin.description, config_schema=schema)

        def run(self, event: Any, config: str) -> Any:
            return _run(plugin, answer, event, config)

    return Export


def _run(plugin: Plugin, answer: Any, given: Any, config: str) -> Any:
    event = Event(
        given.data,
        id=given.id,
        type=given.event_type,
        tenant=given.tenant,
        timestamp=given.timestamp,
        attributes=dict(given.attributes),
    )
    try:
        return answer(plugin.call(event, parse(config)), given.data)
    except Retry as problem:
        raise Err(types.Problem_Retry(_clean(str(problem))))
    except Fail as problem:
        raise Err(types.Problem_Fail(_clean(str(problem))))
    except Exception as error:
        raise Err(types.Problem_Retry(_clean(_told(error))))


def _verdict(returned: Any, text: str) -> Any:
    dropped = verdict(returned)
    return types.Verdict_Pass() if dropped is None else types.Verdict_Drop(_clean(dropped.reason))


def _outcome(returned: Any, text: str) -> Any:
    answer = outcome(returned)
    if answer is None:
        return types.Outcome_Unchanged()
    if isinstance(answer, Drop):
        return types.Outcome_Drop(_clean(answer.reason))
    if isinstance(answer, Replace):
        return types.Outcome_Replace(_replacement(answer, text))
    return types.Outcome_Split([_replacement(part, text) for part in answer.parts])


def _replacement(part: Replace, text: str) -> Any:
    return types.Replacement(
        data=text if part.data is None else stringify(part.data),
        event_type=part.type,
        attributes=_pairs(part.attributes),
        headers=_pairs(part.headers),
    )


def _pairs(of: Any) -> List[Tuple[str, str]]:
    return [(_clean(str(name)), _clean(str(value))) for name, value in of.items()]


def _clean(text: str) -> str:
    """Without halves of surrogate pairs, which a text of the contract can't have."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _told(error: Exception) -> str:
    """What was raised, with the line of the author's own code."""
    place, frame = "", error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if "antar_sdk" not in file:
            place = f" ({file.rsplit('/', 1)[-1]}:{frame.tb_lineno})"
        frame = frame.tb_next
    return f"{type(error).__name__}: {error}{place}"
