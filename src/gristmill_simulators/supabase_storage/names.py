"""Which bucket names and object keys the server accepts."""

import re

from gristmill_simulators.supabase_storage.errors import invalid_bucket_name, invalid_key

_ALLOWED = r"\w!\-.*'() &$@=;:+,?"
_KEY = re.compile(rf"[{_ALLOWED}/]+", re.ASCII)
_BUCKET = re.compile(rf"[{_ALLOWED}]{{1,100}}", re.ASCII)
_RESERVED = "--table-s3"
_KEY_BYTES = 1024  # S3's limit


def check_key(key: str) -> None:
    """Raises StorageError (InvalidKey)."""
    dotted = any(part in {".", ".."} for part in key.split("/"))
    if len(key) > _KEY_BYTES or dotted or _KEY.fullmatch(key) is None:
        raise invalid_key(key)


def check_bucket_name(name: str) -> None:
    """A bucket that is asked for. Raises StorageError (InvalidBucketName)."""
    if _BUCKET.fullmatch(name) is None:
        raise invalid_bucket_name()


def check_new_bucket_name(name: str) -> None:
    """A bucket to be made. Raises StorageError (InvalidBucketName)."""
    if name != name.strip() or name.endswith(_RESERVED):
        raise invalid_bucket_name()
    check_bucket_name(name)
