"""The vendor's errors as ours: of a call by status and `detail`, of a job by its code. Pure.

Rules of the vendor, with their source:

- An error is `{"detail": "text"}`, a 422 a list of `{"loc", "msg"}`; there are no codes.
  (API reference)
- 401 is "Not authenticated" without a key, and begins with "Invalid API Key" for a wrong one, and
  for one of the other region. (guide "Regions"; field notes)
- 402 means that the credits are used up; no waiting helps. 429 comes without Retry-After. A 404 on
  a known id means that the result or the file has expired. A 500 has an id in its text to quote to
  the vendor's support. (guide "Troubleshooting")
- A failed job has no code of its own: it stands in `error_message`. (SDK types; the codes are of
  the same guide)
"""

import re
from typing import Final
from urllib.parse import urlsplit

import orjson

from gristmill.errors import ServiceError
from gristmill.services import failures

REGIONS: Final = {
    "North America": "https://api.cloud.llamaindex.ai",
    "Europe": "https://api.cloud.eu.llamaindex.ai",
}

# What a person can do about a job's code; the vendor's own troubles can be tried again.
JOB_ADVICE: Final = {
    "PDF_IS_PROTECTED": "Remove the password, then ingest the file again.",
    "PDF_IS_BROKEN": "Open and save it with a PDF program, then ingest it again.",
    "NO_DATA_FOUND_IN_FILE": "The parser found nothing in it; try another tier.",
    "UNSUPPORTED_FILE_TYPE": "Convert it to PDF, then ingest that.",
    "DOCUMENT_TOO_LARGE": "Split it into smaller files.",
    "TOO_MANY_PAGES": "Split it into smaller files.",
    "TIMEOUT": "Try again: gristmill resume --failed. It is a new job, and billed again.",
}
_OTHER_JOB_ADVICE: Final = (
    "See the parser's message; gristmill resume --failed tries again, as a new job."
)

_GONE: Final = "The vendor keeps files for two days, and results for a while; parse it again."
_ADVICE: Final = {
    404: _GONE,
    409: "The job is in another state by now: look at it; only a running one is cancelled.",
    410: _GONE,
    413: "The vendor takes files up to 512 MB; split it.",
    429: "It goes on by itself, slower. GRISTMILL_RATE_LLAMAPARSE sets how fast to ask: the free"
    " plan allows 20 requests a minute in all, looking at jobs included.",
}
_NO_KEY: Final = "Not authenticated"
_NO_KEY_ADVICE: Final = (
    "No key arrived; check LLAMA_CLOUD_BASE_URL, and what stands between here and the vendor."
)
_ENDED_ALREADY: Final = re.compile(r"terminal|already|cannot be cancel", re.IGNORECASE)
_CORRELATION: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}", re.IGNORECASE)


def classify(answer: failures.Answer, base_url: str = "") -> ServiceError:
    """Our error for an answer of LlamaCloud at `base_url`."""
    kind = failures.by_status(answer.status, safe=answer.safe)
    said = _detail(answer.text)
    advice = _advice(answer, said, base_url)
    return failures.answered(answer, kind, said, code=None, advice=advice)


def job_advice(error: str) -> str:
    """What a person can do about a failed job, by the code in its `error_message`."""
    return next((text for code, text in JOB_ADVICE.items() if code in error), _OTHER_JOB_ADVICE)


def _advice(answer: failures.Answer, said: str, base_url: str) -> str:
    """What to do; empty where the kind of error says it already."""
    if answer.status == 401:
        return _NO_KEY_ADVICE if said == _NO_KEY else _about_key(base_url)
    if answer.status == 400 and _ENDED_ALREADY.search(said):
        return _ADVICE[409]
    if answer.status >= 500 and (found := _CORRELATION.search(said)):
        return f"Quote {found[0]} to the vendor's support if it stays so."
    return _ADVICE.get(answer.status, "")


def _about_key(base_url: str) -> str:
    """Keys and data belong to one region; the same answer stands for a key of the other."""
    here = urlsplit(base_url).netloc
    other = [(name, url) for name, url in REGIONS.items() if urlsplit(url).netloc != here]
    if len(other) != 1:
        return "Check LLAMA_CLOUD_API_KEY."
    ((region, url),) = other
    return (
        f"Check LLAMA_CLOUD_API_KEY. A key of the region {region} needs LLAMA_CLOUD_BASE_URL={url}."
    )


def _detail(text: str) -> str:
    try:
        detail = orjson.loads(text)["detail"]
    except (ValueError, TypeError, KeyError):
        return ""
    if isinstance(detail, list):
        return "; ".join(_complaint(item) for item in detail)
    return str(detail)


def _complaint(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    where = ".".join(map(str, loc)) if isinstance(loc, list) else ""
    return f"{where}: {item.get('msg', '')}"
