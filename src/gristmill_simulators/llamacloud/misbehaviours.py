"""Answers about jobs that a careful client must survive: made from right ones."""

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from gristmill_simulators.misbehaviour import Misbehaviour

_GET = "llamacloud.parsing.get"
_LIST = "llamacloud.parsing.list"

Answer = dict[str, Any]


def _rewritten(change: Callable[[Answer], None], body: bytes) -> bytes:
    answer = orjson.loads(body)
    change(answer)
    return orjson.dumps(answer)


def _unknown_status(answer: Answer) -> None:
    for job in answer.get("items") or [answer.get("job") or answer]:
        job["status"] = "PAUSED"


def _flat(answer: Answer) -> None:
    answer.update(answer.pop("job"))


def _unknown_item(answer: Answer) -> None:
    for page in (answer.get("items") or {}).get("pages", ()):
        page.setdefault("items", []).append({"type": "hologram", "md": "", "value": ""})


def _lose_a_page(answer: Answer) -> None:
    for name in ("items", "markdown", "text"):
        if answer.get(name):
            del answer[name]["pages"][-1]


def _circle(answer: Answer) -> None:
    answer["next_page_token"] = "WzFd"  # noqa: S105 — a place in a list


def _forget_jobs(answer: Answer) -> None:
    answer["items"] = []


def _made(name: str, routes: str, meaning: str, change: Callable[[Answer], None]) -> Misbehaviour:
    return Misbehaviour(name, routes, meaning, partial(_rewritten, change))


MISBEHAVIOURS = (
    _made("unknown_status", _GET, "a job has a status that nobody knows", _unknown_status),
    _made("unknown_status", _LIST, "every job has a status that nobody knows", _unknown_status),
    _made("flat", _GET, "the job's keys without `job` around them", _flat),
    _made("unknown_item", _GET, "each page of `items` has one of an unknown type", _unknown_item),
    _made("page_missing", _GET, "the last page is not there", _lose_a_page),
    _made("circle", _LIST, "every page of the list names the same next one", _circle),
    _made("no_jobs", _LIST, "jobs that there are, are not listed", _forget_jobs),
)
