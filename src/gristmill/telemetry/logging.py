"""Structured logs: an event name and facts, with the ids in force, without secrets.

    log = get_logger(__name__)
    log.info("document.step", stage="parse")

A library may not decide how its host logs. So nothing is configured until `configure` is called,
which the command line and the HTTP service do; until then events go, masked, to the standard
library's logger of the same name. `configure` also masks what other libraries log, and shows no
terminal what it would obey. A host with handlers of its own adds `MaskingFilter` to them.
"""

import logging
import sys
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor

from gristmill.telemetry.correlation import current
from gristmill.telemetry.masking import mask, masked
from gristmill.telemetry.printable import printable

Form = Literal["console", "json"]


class MaskingFilter(logging.Filter):
    """Masks a record of the standard library: its text, arguments and traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Masks in place, so that whatever handles the record later sees no more; keeps all."""
        if isinstance(record.msg, dict):
            return True  # one of our events, masked where it was made
        record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


def get_logger(name: str) -> BoundLogger:
    """The logger of a module. Below its level a call costs a few microseconds."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, *_COMMON, _WRAP],
        wrapper_class=BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return logger


def configure(level: str = "WARNING", form: Form = "console", stream: TextIO | None = None) -> None:
    """Sends the logs of this process to `stream`, standard error by default; repeatable.

    Raises:
        ValueError: there is no such level.
    """
    stream = stream or sys.stderr
    root = logging.getLogger()
    root.setLevel(level.upper())
    for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler(stream)
    handler.setLevel(root.level)  # some libraries give their loggers a level of their own
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_COMMON,
            processors=[ProcessorFormatter.remove_processors_meta, *_renderers(form, stream)],
        )
    )
    root.addHandler(handler)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it is found again."""


def _renderers(form: Form, stream: TextIO) -> list[Processor]:
    if form == "json":
        return [structlog.processors.JSONRenderer(ensure_ascii=False), _printable_line]
    # The pretty tracebacks of the console print local variables, keys among them.
    console = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [_printable_facts, console]


def _printable_line(logger: Any, method: str, line: Any) -> str:  # noqa: ANN401 — structlog's signature
    del logger, method
    return printable(line)


def _printable_facts(logger: Any, method: str, event: EventDict) -> EventDict:  # noqa: ANN401 — the same
    """Before colours come in. A line end begins no line of the log, but in a traceback."""
    del logger, method
    return {
        printable(name): printable(value, keep="\n" if name == "exception" else "")
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }


def _add_ids(logger: Any, method: str, event: EventDict) -> EventDict:  # noqa: ANN401 — structlog's signature
    del logger, method
    return {**current().known(), **event}


def _mask(logger: Any, method: str, event: EventDict) -> EventDict:  # noqa: ANN401 — the same
    del logger, method
    kept = {name: event[name] for name in ("_record", "_from_structlog") if name in event}
    rest = {name: value for name, value in event.items() if name not in kept}
    clean = mask(rest)
    return {**clean, **kept} if isinstance(clean, dict) else kept


_COMMON: Final[list[Processor]] = [
    _add_ids,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _mask,
]
_WRAP: Final[Processor] = ProcessorFormatter.wrap_for_formatter
