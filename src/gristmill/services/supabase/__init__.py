"""Supabase Storage: objects, buckets and links.

operations   what can be asked, as values; `values` what is answered
buckets, files, objects   what each operation does with the SDK
client       the SDK over the shared pool, with the answer's headers and streamed bodies
answers, errors   how its JSON and its errors are read
keys         pure: any file name as a legal key, and back
adapter      all of it as a service, with the vendor's rules it relies on
"""

from gristmill.services.supabase.adapter import (
    Supabase,
    public_url,
    storage_url,
)
from gristmill.services.supabase.errors import (
    classify,
)
from gristmill.services.supabase.keys import (
    legal_key,
    original_name,
)
from gristmill.services.supabase.operations import (
    CheckHealth,
    CopyObject,
    CreateBucket,
    CreateObject,
    DeleteBucket,
    DownloadObject,
    EmptyBucket,
    EnsureBucket,
    GetBucket,
    GetObjectInfo,
    ListBuckets,
    ListFolder,
    ListObjects,
    MoveObject,
    ObjectExists,
    RemoveObjects,
    SignUpload,
    SignUrl,
    SignUrls,
    UpdateBucket,
    UploadObject,
    UploadSigned,
)
from gristmill.services.supabase.values import (
    UNCHANGED,
    Bucket,
    ByteRange,
    ListedObject,
    Listing,
    ObjectInfo,
    SignedUpload,
    SignedUrl,
    StoredObject,
)

__all__ = [
    "UNCHANGED",
    "Bucket",
    "ByteRange",
    "CheckHealth",
    "CopyObject",
    "CreateBucket",
    "CreateObject",
    "DeleteBucket",
    "DownloadObject",
    "EmptyBucket",
    "EnsureBucket",
    "GetBucket",
    "GetObjectInfo",
    "ListBuckets",
    "ListFolder",
    "ListObjects",
    "ListedObject",
    "Listing",
    "MoveObject",
    "ObjectExists",
    "ObjectInfo",
    "RemoveObjects",
    "SignUpload",
    "SignUrl",
    "SignUrls",
    "SignedUpload",
    "SignedUrl",
    "StoredObject",
    "Supabase",
    "UpdateBucket",
    "UploadObject",
    "UploadSigned",
    "classify",
    "legal_key",
    "original_name",
    "public_url",
    "storage_url",
]
