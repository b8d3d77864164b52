"""What another user of this machine is told; only root can try it out."""

import os
import traceback
from collections.abc import Callable

from gristmill.errors import GristmillError


def as_user(uid: int, action: Callable[[], str]) -> str:
    """What the action answers when another user takes it, or the error's sentence and advice."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        try:
            answer = action()
        except GristmillError as error:
            answer = f"{error.kind}: {error} {error.advice}"
        except BaseException:  # noqa: BLE001 — the parent shows it
            answer = traceback.format_exc()
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        answer = file.read()
    os.waitpid(child, 0)
    return answer
