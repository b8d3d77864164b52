"""Every error that Supabase Storage is known to answer, and what it becomes."""

import json

import pytest
from classified import Row, check_prose, names
from hypothesis import given
from hypothesis import strategies as st

from gristmill import errors
from gristmill.services.failures import Answer
from gristmill.services.supabase import SignUrl, classify

UNKNOWN = "may have been done and billed"
INPUT = "change the input"
AGAIN = "by itself"


def wire(status, error, message, code):
    return {"statusCode": str(status), "error": error, "message": message, "code": code}


def denied(what, message, advice, http=400):
    body = wire(403, "Unauthorized", message, "AccessDenied")
    says = f"refused access ({http} AccessDenied): {message}"
    return Row(what, http, body, errors.Unauthorized, says, advice)


def bad(what, message, error="Error", code="InvalidRequest", http=400):
    body = wire(400, error, message, code)
    return Row(what, http, body, errors.Rejected, f"refused this request ({http} {code})", INPUT)


def link(what, message, code, advice):
    body = wire(400, code, message, code)
    return Row(what, 400, body, errors.Unauthorized, f"refused access (400 {code})", advice)


TIMEOUT = wire(
    544, "DatabaseTimeout", "The connection to the database timed out", "DatabaseTimeout"
)
INTERNAL = wire(500, "Internal", "Internal Server Error", "InternalError")
ABORTED = wire(499, "Aborted", "Request aborted", "Aborted")
TAKEN = "The resource already exists"
LARGE = "The object exceeded the maximum allowed size"

TABLE = [
    # failures of the server
    Row("slow database", 544, TIMEOUT, errors.Unavailable, "cannot serve now (544 DatabaseTimeout)", "too slow"),
    Row("slow database, of a creation", 544, TIMEOUT, errors.OutcomeUnknown, "(544 DatabaseTimeout)", "too slow", safe=False),
    Row("too many connections", 429, wire(429, "too_many_connections", "Too many connections", "SlowDown"), errors.Throttled, "too fast (429 SlowDown)", "GRISTMILL_CONCURRENCY"),
    Row("too fast", 429, wire(429, "Too Many Requests", "Too many requests", "SlowDown"), errors.Throttled, "too fast (429 SlowDown)", AGAIN, after=3, headers={"retry-after": "3"}),
    Row("internal error", 500, INTERNAL, errors.Unavailable, "cannot serve now (500 InternalError)", AGAIN),
    Row("internal error, of a creation", 500, INTERNAL, errors.OutcomeUnknown, "(500 InternalError)", UNKNOWN, safe=False),
    Row("read-only database", 400, wire(503, "DatabaseReadOnly", "read-only transaction", "DatabaseReadOnly"), errors.Unavailable, "(400 DatabaseReadOnly)", "disk is full"),
    Row("no more connections", 400, wire(503, "x", "too many clients", "DatabaseConnectionLimit"), errors.Unavailable, "(400 DatabaseConnectionLimit)", "GRISTMILL_CONCURRENCY"),
    Row("key is locked", 400, wire(503, "acquiring_lock_timeout", "lock", "LockTimeout"), errors.Unavailable, "(400 LockTimeout)", "Somebody else"),
    Row("row is locked", 400, wire(423, "x", "The resource is locked", "ResourceLocked"), errors.Unavailable, "(400 ResourceLocked)", "Somebody else"),
    Row("given up by the client", 499, ABORTED, errors.Unavailable, "(499 Aborted)", AGAIN),
    Row("creation given up", 499, ABORTED, errors.OutcomeUnknown, "(499 Aborted)", UNKNOWN, safe=False),
    # a gateway's own, or a server's without a body
    Row("page: too large", 413, "<html>Request Entity Too Large</html>", errors.Rejected, "refused this request (413): it gave no reason.", "size limit"),
    Row("page: bad gateway", 502, "<html>Bad gateway</html>", errors.Unavailable, "(502): it gave no reason.", AGAIN),
    Row("page: timeout", 504, "upstream request timeout", errors.Unavailable, "(504)", AGAIN),
    Row("page: origin", 520, "<html>", errors.Unavailable, "(520)", AGAIN),
    Row("page: bad gateway, of a creation", 502, "<html>", errors.OutcomeUnknown, "(502)", UNKNOWN, safe=False),
    Row("name of a bucket beyond all limits", 414, "", errors.Rejected, "(414)", INPUT),
    Row("headers too large", 431, "", errors.Rejected, "(431)", INPUT),
    # captured answers, in the order of their list
    Row("3 no key", 400, wire(400, "Error", "headers must have required property 'authorization'", "InvalidRequest"), errors.Unauthorized, "refused access (400 InvalidRequest)", "No key arrived"),
    denied("4 junk for a key", "Invalid Compact JWS", "SUPABASE_SERVICE_ROLE_KEY"),
    denied("5 wrong signature", "signature verification failed", "another project"),
    denied("6 expired key", '"exp" claim timestamp check failed', "has expired"),
    denied("key of another algorithm", '"alg" (Algorithm) Header Parameter value not allowed', "no key of the project"),
    Row("key of an unknown role", 500, wire(500, "DatabaseError", "database error, code: 22023", "DatabaseError"), errors.Unauthorized, "refused access (500 DatabaseError)", "names a role"),
    Row("8 bucket exists", 400, wire(409, "Duplicate", TAKEN, "BucketAlreadyExists"), errors.Rejected, TAKEN, "Use the bucket"),
    Row("9 bucket's name", 400, wire(400, "Invalid Input", "Bucket name invalid", "InvalidBucketName"), errors.Rejected, "Bucket name invalid", "without a slash"),
    bad("10 bucket without a name", "body must have required property 'name'"),
    Row("11 and 21 too large", 400, wire(413, "Payload too large", LARGE, "EntityTooLarge"), errors.Rejected, LARGE, "size limit"),
    denied("12, 23, 24 no policy", "new row violates row-level security policy", "INSERT to upload"),
    Row("14, 19, 28 to 30 no bucket", 400, wire(404, "Bucket not found", "Bucket not found", "NoSuchBucket"), errors.NotFound, "(400 NoSuchBucket): Bucket not found", "Create the bucket"),
    bad("16 nothing to change", "body must have required property 'public'"),
    Row("18, 45 key exists", 400, wire(409, "Duplicate", TAKEN, "KeyAlreadyExists"), errors.Rejected, TAKEN, "UploadObject"),
    Row("20 bad key", 400, wire(400, "InvalidKey", "Invalid key: été.txt", "InvalidKey"), errors.Rejected, "Invalid key: été.txt", "legal_key"),
    Row("22 type not allowed", 400, wire(415, "invalid_mime_type", "mime type application/pdf is not supported", "InvalidMimeType"), errors.Rejected, "mime type application/pdf", "allowed types"),
    bad("25 no file", "No content provided", error="InvalidRequest"),
    Row("26, 27, 37, 50, 56 no object", 400, wire(404, "not_found", "Object not found", "NoSuchKey"), errors.NotFound, "(400 NoSuchKey): Object not found", "SELECT policy"),
    Row("32 range", 416, wire(416, "invalid_range", "invalid range provided", "InvalidRange"), errors.Rejected, "invalid range provided", "bytes that the object has"),
    Row("34 missing, asked by HEAD", 400, "", errors.Rejected, "(400): it gave no reason.", INPUT),
    bad("38 no time", "body/expiresIn must be >= 1"),
    link("39 link is over", '"exp" claim timestamp check failed', "InvalidJWT", "new address signed"),
    link("40 link is damaged", "signature verification failed", "InvalidJWT", "new address signed"),
    link("41 link of another object", "Invalid signature", "InvalidSignature", "as it was given"),
    link("42 link for something else", "Token is not scoped for download", "InvalidSignature", "as it was given"),
    bad("43 no token", "querystring must have required property 'token'"),
    Row("46 no bucket to go to", 400, wire(404, "InvalidRequest", "The related resource does not exist", "InvalidRequest"), errors.NotFound, "The related resource", "Create the bucket"),
    bad("48 list without a prefix", "body must have required property 'prefix'"),
    bad("49 order of a list", "body/sortBy/column must be equal to one of the allowed values"),
    Row("51 move onto another", 400, wire(409, "Duplicate", TAKEN, "ResourceAlreadyExists"), errors.Rejected, TAKEN, "Choose another key"),
    bad("54 nothing to delete", "body/prefixes must NOT have fewer than 1 items"),
    denied("55 no policy to delete", "Access denied", "policy for it"),
    Row("57 bucket is not empty", 400, wire(409, "ResourceNotEmpty", "The bucket you tried to delete is not empty", "ResourceNotEmpty"), errors.Rejected, "is not empty", "Empty the bucket"),
    denied("58 not the service key", "Access denied: Invalid role", "Only the service key", http=403),
    bad("59 broken JSON", "Unexpected end of JSON input", error="FastifyError"),
    Row("60 too much JSON", 413, wire(413, "FastifyError", "Request body is too large", "EntityTooLarge"), errors.Rejected, "Request body is too large", "size limit"),
    bad("cursor of a list", "Invalid Parameter continuation token", "InvalidParameter", "InvalidParameter"),
    Row("unknown project", 400, wire(404, "x", "Tenant not found", "TenantNotFound"), errors.Unauthorized, "Tenant not found", "project's address"),
    Row("a true 404 of an object", 404, wire(404, "not_found", "Object not found", "NoSuchKey"), errors.NotFound, "(404 NoSuchKey)", "SELECT policy"),
]  # fmt: skip

# Servers before July 2026 leave the code out; the older label has to do. They have none for these.
ONLY_BY_CODE = {"too fast", "unknown project", "no more connections"}
OLDER = [row for row in TABLE if isinstance(row.body, dict) and row.what not in ONLY_BY_CODE]


@pytest.mark.parametrize("row", TABLE, ids=names(TABLE))
def test_every_row_becomes_the_error_of_its_effect(row):
    error = classify(row.answer("supabase"))
    row.check(error)
    if isinstance(row.body, dict):
        assert error.code == row.body["code"]


@pytest.mark.parametrize("row", OLDER, ids=names(OLDER))
def test_an_older_server_is_understood_by_status_and_label(row):
    body = {name: value for name, value in row.body.items() if name != "code"}
    error = classify(Answer("supabase", row.status, {}, json.dumps(body), safe=row.safe))
    assert type(error) is row.kind
    check_prose(error)


SAMPLE = [row for row in TABLE if row.what in {"slow database", "6 expired key", "too fast"}]


@pytest.mark.parametrize("row", SAMPLE, ids=names(SAMPLE))
async def test_the_adapter_raises_it_after_one_request(vendor, supabase, row):
    vendor.says(row.status, row.body, row.headers)
    with pytest.raises(row.kind) as caught:
        await supabase.execute(SignUrl("documents", "a.pdf", 60))
    row.check(caught.value)
    assert caught.value.service == "supabase"
    assert len(vendor.requests) == 1


@given(
    st.integers(400, 599),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["statusCode", "error", "message", "code"]), inner)
        ),
    ),
)
def test_whatever_an_error_answer_holds_becomes_one_of_our_errors(status, body):
    error = classify(Answer("supabase", status, {}, json.dumps(body), safe=True))
    assert isinstance(error, errors.ServiceError)
    assert str(error)
    assert error.advice
