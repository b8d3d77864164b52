"""LlamaParse: files into Markdown.

operations   what can be asked and what is answered, as values
answers      pure: how both look on the wire
errors       pure: the vendor's errors as ours, of calls and of jobs
adapter      the service, with the vendor's rules it relies on
"""

from gristmill.services.llamaparse.adapter import LlamaParse
from gristmill.services.llamaparse.errors import classify, job_advice
from gristmill.services.llamaparse.operations import (
    LONGEST_DEADLINE,
    CancelParse,
    CountFiles,
    DeleteFile,
    DeleteParse,
    FindParseJob,
    GetParseItems,
    GetParseJob,
    GetParseMetadata,
    GetParseResult,
    GetParseText,
    GetParseUsage,
    ListParseJobs,
    ListParseUsage,
    ListParseVersions,
    ListUsage,
    PageItems,
    PageMetadata,
    ParsedPage,
    ParseJob,
    ParseResult,
    ParseStatus,
    ParseVersions,
    SubmitParse,
    UploadFile,
    UsagePage,
    UsageRow,
    VendorFile,
    Webhook,
)

__all__ = [
    "LONGEST_DEADLINE",
    "CancelParse",
    "CountFiles",
    "DeleteFile",
    "DeleteParse",
    "FindParseJob",
    "GetParseItems",
    "GetParseJob",
    "GetParseMetadata",
    "GetParseResult",
    "GetParseText",
    "GetParseUsage",
    "ListParseJobs",
    "ListParseUsage",
    "ListParseVersions",
    "ListUsage",
    "LlamaParse",
    "PageItems",
    "PageMetadata",
    "ParseJob",
    "ParseResult",
    "ParseStatus",
    "ParseVersions",
    "ParsedPage",
    "SubmitParse",
    "UploadFile",
    "UsagePage",
    "UsageRow",
    "VendorFile",
    "Webhook",
    "classify",
    "job_advice",
]
