"""Storage's error bodies: HTTP 400 nearly always, the true status a string inside."""

import orjson
from starlette.responses import Response

from gristmill_simulators.operation import Refusal

_GATEWAY = {413, 502, 503, 504, 520, 521, 522, 524}  # it answers these itself, in HTML


class StorageError(Refusal):
    """`statusCode`, `error`, `message`, `code`; `http` is the status on the wire."""

    def __init__(self, status: str, error: str, message: str, code: str, http: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.code = code
        self.http = http

    def response(self, *, named: bool = True) -> Response:
        """`named=False` leaves `code` out, as servers before 2026-07-23 do."""
        body = {"statusCode": self.status, "error": self.error, "message": self.message}
        if named:
            body["code"] = self.code
        return json(body, self.http)


def json(value: object, status: int = 200) -> Response:
    body = orjson.dumps(value)
    headers = {"content-type": "application/json; charset=utf-8"}
    return Response(body, status, headers)


def failure(status: int, code: str | None, *, named: bool = True) -> Response:
    """The body of a fault: that of the `code`, or else of the status on the wire.

    Most of the server's errors are a 400 on the wire, so their faults are a status of 400 and a
    code, such as LockTimeout.
    """
    if code is None and status in _GATEWAY:
        text = f"<html><head><title>{status}</title></head><body>gateway</body></html>"
        return Response(text, status, media_type="text/html")
    error = _with_code(code) or _with_status(status)
    error.http = status
    return error.response(named=named)


def _with_code(code: str | None) -> StorageError | None:
    known = (
        *(database_timeout(), read_only(), lock_timeout(), locked(), slow_down(), internal()),
        *(no_bucket(), no_object(), no_related(), denied(), too_large(), bucket_not_empty()),
        *(duplicate("KeyAlreadyExists"), duplicate("BucketAlreadyExists")),
    )
    return next((error for error in known if error.code == code), None)


def _with_status(status: int) -> StorageError:
    match status:
        case 429:
            return slow_down()
        case 500:
            return internal()
        case 544:
            return database_timeout()
        case _:
            return StorageError(str(status), "Error", "Simulated failure", "InvalidRequest")


def database_timeout() -> StorageError:
    message = "The connection to the database timed out"
    return StorageError("544", "DatabaseTimeout", message, "DatabaseTimeout", 544)


def slow_down() -> StorageError:
    message = "Too many connections issued to the database"
    return StorageError("429", "too_many_connections", message, "SlowDown", 429)


def internal() -> StorageError:
    return StorageError("500", "Internal", "Internal Server Error", "InternalError", 500)


def read_only() -> StorageError:
    message = "The database is currently in read-only mode. Please try again later."
    return StorageError("503", "DatabaseReadOnly", message, "DatabaseReadOnly")


def lock_timeout() -> StorageError:
    return StorageError("503", "acquiring_lock_timeout", "acquiring lock timeout", "LockTimeout")


def locked() -> StorageError:
    return StorageError("423", "ResourceLocked", "The resource is locked", "ResourceLocked")


def schema(message: str) -> StorageError:
    """A request that does not fit the route's JSON schema."""
    return StorageError("400", "Error", message, "InvalidRequest")


def fastify(message: str) -> StorageError:
    """A body that the framework could not parse."""
    return StorageError("400", "FastifyError", message, "InvalidRequest")


def missing(where: str, name: str) -> StorageError:
    return schema(f"{where} must have required property '{name}'")


def no_bucket() -> StorageError:
    return StorageError("404", "Bucket not found", "Bucket not found", "NoSuchBucket")


def no_object() -> StorageError:
    return StorageError("404", "not_found", "Object not found", "NoSuchKey")


def no_related() -> StorageError:
    message = "The related resource does not exist"
    return StorageError("404", "InvalidRequest", message, "InvalidRequest")


def duplicate(code: str) -> StorageError:
    return StorageError("409", "Duplicate", "The resource already exists", code)


def denied(message: str = "new row violates row-level security policy") -> StorageError:
    return StorageError("403", "Unauthorized", message, "AccessDenied")


def invalid_key(key: str) -> StorageError:
    return StorageError("400", "InvalidKey", f"Invalid key: {key}", "InvalidKey")


def invalid_bucket_name() -> StorageError:
    return StorageError("400", "Invalid Input", "Bucket name invalid", "InvalidBucketName")


def too_large() -> StorageError:
    message = "The object exceeded the maximum allowed size"
    return StorageError("413", "Payload too large", message, "EntityTooLarge")


def bad_mime_type(given: str) -> StorageError:
    message = f"mime type {given} is not supported"
    return StorageError("415", "invalid_mime_type", message, "InvalidMimeType")


def bad_range() -> StorageError:
    return StorageError("416", "invalid_range", "invalid range provided", "InvalidRange", 416)


def no_content() -> StorageError:
    return StorageError("400", "InvalidRequest", "No content provided", "InvalidRequest")


def too_many_fields() -> StorageError:
    return StorageError("400", "InvalidRequest", "reach fields limit", "InvalidRequest")


def bad_json() -> StorageError:
    """A value that no column of JSON takes."""
    message = "invalid input syntax for type json"
    return StorageError("400", "InvalidParameter", message, "InvalidParameter")


def bad_signed_token(message: str) -> StorageError:
    return StorageError("400", "InvalidJWT", message, "InvalidJWT")


def bad_signature(message: str = "Invalid signature") -> StorageError:
    return StorageError("400", "InvalidSignature", message, "InvalidSignature")


def bad_parameter(name: str) -> StorageError:
    message = f"Invalid Parameter {name}"
    return StorageError("400", "InvalidParameter", message, "InvalidParameter")


def invalid_role() -> StorageError:
    """A route for `service_role` alone: here the status on the wire is the true one."""
    message = "Access denied: Invalid role"
    return StorageError("403", "Unauthorized", message, "AccessDenied", 403)


def bucket_too_full() -> StorageError:
    message = "Unable to empty the bucket because it contains too many objects"
    return StorageError("409", "InvalidRequest", message, "InvalidRequest")


def bucket_not_empty() -> StorageError:
    message = "The bucket you tried to delete is not empty"
    return StorageError("409", "ResourceNotEmpty", message, "ResourceNotEmpty")
