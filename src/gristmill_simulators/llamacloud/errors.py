"""LlamaCloud's error bodies: `{"detail": "text"}`, and pydantic's list for a 422."""

import uuid

import orjson
from pydantic import ValidationError
from starlette.responses import Response

from gristmill_simulators.operation import Refusal

_TEXTS = {
    401: "Invalid API Key. If your account is in another region, see"
    " https://developers.llamaindex.ai/llamaparse/general/regions/",
    402: "You've exceeded the maximum number of credits for your plan.",
    404: "Not Found",
    408: "Request timed out",
    413: "File too large",
    429: "Rate limit exceeded",
}


class LlamaCloudError(Refusal):
    """A refusal with a `detail`: a sentence, or the list of a failed validation."""

    def __init__(self, status: int, detail: object) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail

    def response(self) -> Response:
        return json({"detail": self.detail}, self.status)


def json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def failure(status: int) -> Response:
    """The body of a fault: gateways answer 502 and 504 in HTML, 500 carries an id to quote."""
    if status in {502, 504}:
        text = f"<html><head><title>{status}</title></head><body>upstream error</body></html>"
        return Response(text, status, media_type="text/html")
    if status >= 500:
        detail = f"Internal server error. Correlation id: {uuid.uuid4()}"
        return LlamaCloudError(status, detail).response()
    return LlamaCloudError(status, _TEXTS.get(status, "Simulated failure")).response()


def invalid(error: ValidationError) -> LlamaCloudError:
    """422 in the shape of the vendor's framework: type, loc, msg, input."""
    details = error.errors(include_url=False, include_context=False)
    return LlamaCloudError(422, [dict(detail) for detail in details])


def invalid_field(loc: list[str | int], message: str, given: object) -> LlamaCloudError:
    detail = {"type": "value_error", "loc": loc, "msg": message, "input": given}
    return LlamaCloudError(422, [detail])


def malformed(message: str) -> LlamaCloudError:
    """422 for a body that is no JSON."""
    detail = {"type": "json_invalid", "loc": ["body"], "msg": f"JSON decode error: {message}"}
    return LlamaCloudError(422, [{**detail, "input": {}}])


def wrong_key() -> LlamaCloudError:
    return LlamaCloudError(401, _TEXTS[401])


def credits_used_up() -> LlamaCloudError:
    return LlamaCloudError(402, _TEXTS[402])


def job_not_found() -> LlamaCloudError:
    return LlamaCloudError(404, "Parse job not found")


def file_not_found(file_id: str) -> LlamaCloudError:
    return LlamaCloudError(404, f"File with id {file_id} not found")
