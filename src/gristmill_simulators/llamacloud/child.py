"""The process that reads files: one JSON request a line on stdin, one JSON answer on stdout.

It may be killed at any time; the server never trusts it to come back.
"""

import contextlib
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from gristmill_simulators.llamacloud import forms
from gristmill_simulators.llamacloud.items import has_table
from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers import select
from gristmill_simulators.llamacloud.readers.document import Unreadable

_MEMORY = 4 * 1024**3  # bytes of address space; liteparse needs 0.5 GB for 1,200 pages


def answer(line: bytes) -> dict[str, Any]:
    """Parse one file into `output`; the answer says how many pages, or why there are none."""
    request = orjson.loads(line)
    wanted = Wanted.read(request["target_pages"], request["max_pages"])
    try:
        pages = select.read(Path(request["path"]), request["name"], wanted)
    except Unreadable as error:
        return {"error": error.code, "message": str(error)}
    except MemoryError:
        return {"error": "DOCUMENT_TOO_LARGE", "message": "the document needs too much memory"}
    except Exception as error:  # noqa: BLE001 — a reader's own failure is the file's failure
        return {"error": "PDF_IS_BROKEN", "message": f"{type(error).__name__} while reading"}
    for page in pages:
        page.cut()
    Path(request["output"]).write_bytes(orjson.dumps([asdict(page) for page in pages]))
    return {
        "numbers": [page.number for page in pages],
        "sheets": select.is_spreadsheet(request["name"]),
        "easy": [page.number for page in pages if not has_table(page.markdown)],
        "forms": [page.number for page in pages if forms.fields(page.text)],
    }


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing a library prints may end up among the answers
    for line in sys.stdin.buffer:
        answers.write(orjson.dumps(answer(line)) + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
