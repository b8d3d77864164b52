"""What an error answer of Supabase Storage means, and what a person can do about it. Pure.

The stable name of an error is the `code` of its body. Servers before July 2026 leave it out; there
`statusCode` and the older label `error` tell the same. A gateway in front answers in HTML, where
only the HTTP status is left. (source of the server)
"""

from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Final

import orjson

from gristmill.errors import (
    Misconfigured,
    NotFound,
    Rejected,
    ServiceError,
    Throttled,
    Unauthorized,
    Unavailable,
)
from gristmill.services import failures

NO_BUCKET: Final = "NoSuchBucket"
NO_OBJECT: Final = "NoSuchKey"
NO_TENANT: Final = "TenantNotFound"
EXISTS: Final = frozenset({"KeyAlreadyExists", "ResourceAlreadyExists", "BucketAlreadyExists"})


@dataclass(frozen=True, slots=True)
class _Meaning:
    kind: type[ServiceError] | None  # None: as the status says
    advice: str


_LOCKED: Final = _Meaning(
    Unavailable, "Somebody else writes this key now; it is tried again by itself."
)
_BY_CODE: Final = {
    NO_BUCKET: _Meaning(
        NotFound,
        "Create the bucket in the dashboard under Storage, or check its name; a key without the"
        " right to see a bucket gets the same answer.",
    ),
    NO_OBJECT: _Meaning(
        NotFound,
        "It was deleted or never there, or this key's role has no SELECT policy for it.",
    ),
    "KeyAlreadyExists": _Meaning(Rejected, "Choose another key, or upload with UploadObject."),
    "ResourceAlreadyExists": _Meaning(Rejected, "Choose another key, or remove what is there."),
    "BucketAlreadyExists": _Meaning(Rejected, "Use the bucket that is there, or another name."),
    "ResourceNotEmpty": _Meaning(
        Rejected, "Empty the bucket first; emptying may take the vendor up to an hour."
    ),
    "InvalidKey": _Meaning(Rejected, "Make keys from names with `legal_key`."),
    "InvalidBucketName": _Meaning(
        Rejected, "Use 1 to 100 letters, digits, `-` or `_` without a slash for the bucket's name."
    ),
    "EntityTooLarge": _Meaning(
        Rejected,
        "Raise the size limit of the bucket, or of the project in its Storage settings; the free"
        " plan ends at 50 MB a file.",
    ),
    "InvalidMimeType": _Meaning(
        Rejected,
        "Add the type to the bucket's allowed types, or clear them; the entry */* allows nothing.",
    ),
    "InvalidRange": _Meaning(Rejected, "Ask for bytes that the object has."),
    "InvalidJWT": _Meaning(Unauthorized, "Have a new address signed; this one is over or damaged."),
    "InvalidSignature": _Meaning(
        Unauthorized, "Use the signed address as it was given, for the object it was given for."
    ),
    NO_TENANT: _Meaning(Unauthorized, "Check the project's address; no such project."),
    "DatabaseTimeout": _Meaning(
        None,
        "The project's database is too slow. It is tried again by itself; look at the database's"
        " load if it stays so.",
    ),
    "DatabaseConnectionLimit": _Meaning(
        Unavailable, "It is tried again by itself; lower GRISTMILL_CONCURRENCY if it stays so."
    ),
    "DatabaseReadOnly": _Meaning(
        Unavailable, "The project's database takes no writes, often as its disk is full; free it."
    ),
    "LockTimeout": _LOCKED,
    "ResourceLocked": _LOCKED,
    "SlowDown": _Meaning(
        Throttled,
        "It goes on by itself, slower; lower GRISTMILL_CONCURRENCY if it stays so.",
    ),
}

# How servers without `code` name the same: statusCode and the older label. The last stands for the
# bucket that a copy, a move or a permission to upload leads to.
_BY_LABEL: Final = {
    ("404", "Bucket not found"): NO_BUCKET,
    ("404", "not_found"): NO_OBJECT,
    ("409", "Duplicate"): "ResourceAlreadyExists",
    ("413", "Payload too large"): "EntityTooLarge",
    ("415", "invalid_mime_type"): "InvalidMimeType",
    ("400", "Invalid Input"): "InvalidBucketName",
    ("416", "invalid_range"): "InvalidRange",
    ("400", "invalid_range"): "InvalidRange",
    ("503", "acquiring_lock_timeout"): "LockTimeout",
    ("429", "too_many_connections"): "SlowDown",
    ("404", "InvalidRequest"): NO_BUCKET,
}

_BY_STATUS: Final = {
    413: "EntityTooLarge",
    415: "InvalidMimeType",
    423: "ResourceLocked",
    544: "DatabaseTimeout",
}

_NO_KEY_OF_IT: Final = (
    "This is no key of the project: set SUPABASE_SERVICE_ROLE_KEY from its API settings, and the"
    " project's own address, as an sb_secret key works only there."
)
# What the database says to a role that it does not have. (source of the server)
_NO_ROLE: Final = "code: 22023"

# One code stands for every refusal; the words tell which. Lower case.
_BY_WORDS: Final = {
    "row-level security": (
        "Use the service key, or give this key's role a policy on storage.objects: INSERT to"
        " upload, with SELECT and UPDATE to replace or move, DELETE to remove."
    ),
    "invalid compact jws": _NO_KEY_OF_IT,
    '"alg"': _NO_KEY_OF_IT,
    "signature verification": "The key belongs to another project; take this project's own.",
    '"exp" claim': "The key was a session's token and has expired; use the service key.",
    "invalid role": "Only the service key may do this.",
    "authorization": "No key arrived; check the address, and what stands in between.",
    "access denied": "Use the service key, or give this key's role a policy for it.",
}


@dataclass(frozen=True, slots=True)
class Fields:
    """An error's body: the true status, the stable code or the older label, and the words.

    `meaning` is the code that says what to do, where there is one.
    """

    status: int
    code: str | None
    message: str
    meaning: str


def read_fields(status: int, text: str) -> Fields:
    """The fields of an error answer; of HTML there is only the HTTP status."""
    try:
        body = orjson.loads(text)
        true_status = int(body["statusCode"])
        code, label = str(body.get("code") or ""), str(body.get("error") or "")
        message = str(body.get("message") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return Fields(status, None, "", _BY_STATUS.get(status, ""))
    meant = _BY_LABEL.get((str(true_status), label)) or _BY_STATUS.get(true_status, label)
    return Fields(true_status, code or meant or None, message, code if code in _BY_CODE else meant)


def classify(answer: failures.Answer) -> ServiceError:
    """Our error for an answer: by its code, then by its label, then by its status."""
    fields = read_fields(answer.status, answer.text)
    meaning = _BY_CODE.get(fields.meaning) or _unnamed(fields)
    kind = meaning.kind or failures.by_status(fields.status, safe=answer.safe)
    return failures.answered(answer, kind, fields.message, code=fields.code, advice=meaning.advice)


def _unnamed(fields: Fields) -> _Meaning:
    """Refusals share one code or have none; their words tell them apart."""
    words = fields.message.lower()
    if _NO_ROLE in words:
        advice = "The key names a role that the project does not have; use the service key."
        return _Meaning(Unauthorized, advice)
    nobody = fields.status == 400 and "authorization" in words
    if fields.status not in {401, 403} and not nobody:
        return _Meaning(None, "")
    advice = next((advice for sign, advice in _BY_WORDS.items() if sign in words), "")
    return _Meaning(Unauthorized, advice)


def wrong_address(status: int, text: str) -> Misconfigured | None:
    """Why nothing of the storage was found; None if this is not what the answer says.

    Whatever is missing is HTTP 400 there. A real 404 is a route that is not served.
    """
    if status != 404 or read_fields(status, text).meaning in _BY_CODE:
        return None
    return Misconfigured(
        "No Supabase Storage answers at this address.",
        advice="Set SUPABASE_URL to the project's address, https://<project>.supabase.co; a server"
        " of one's own may be too old for this.",
    )


def role_of(key: str) -> str | None:
    """The Postgres role that a key acts as, by its own words; None if it does not say.

    Nothing is verified here; it only helps to explain a refusal.
    """
    if key.startswith("sb_secret_"):
        return "service_role"
    if key.startswith("sb_publishable_"):
        return "anon"
    try:
        payload = key.split(".")[1]
        claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims.get("role", "anon"))
    except (ValueError, IndexError, AttributeError):
        return None


def bucket_refused(bucket: str, key: str) -> ServiceError:
    """A bucket is missing and this key may not create it: says who may, and how."""
    role = role_of(key)
    acting = f" ({role})" if role else ""
    name = bucket.replace("'", "''")
    return failures.failure(
        Unauthorized,
        "supabase",
        f"the bucket {bucket!r} does not exist, and the role of this key{acting} may not create it",
        code=NO_BUCKET,
        advice=(
            "Create the bucket in the dashboard under Storage, or with the SQL: insert into"
            f" storage.buckets (id, name) values ('{name}', '{name}'); or set"
            " SUPABASE_SERVICE_ROLE_KEY, as only service_role may create buckets unless"
            " storage.buckets has an INSERT policy."
        ),
    )
