"""LlamaParse, version 2 of the API.

Rules of the vendor relied on here, with their source:

- A job is PENDING, RUNNING, COMPLETED, FAILED or CANCELLED; pages that fail inside a completed job
  are entries with `success: false`. (SDK 2.19 types)
- A parse has no idempotency key: a repeated submit is a second, billed job. The tag in
  `user_metadata` comes back with get and list and finds it again. (SDK source; list cannot filter
  by it, so the pages are walked)
- The multipart form of `parsing.create` drops `user_metadata` silently; so upload the file, then
  submit by its id. (SDK source)
- `usage.credits` needs `expand=usage` and is null until billed. (SDK types)
- `expand=markdown` on a job of the fast tier is refused with 400; it has `text`. (guide
  "Retrieving results")
- `page_ranges.max_pages` bounds what is parsed and billed; `target_pages` counts from 1 and wins
  over it. (API reference)
- 402 means that the credits are used up. No Retry-After and no limits are sent. (guide
  "Troubleshooting")
- A webhook is signed if it is given a secret, and its body is double-encoded JSON unless `json` is
  asked for. (SDK types)
- The list of versions belongs to no project, and whether it looks at the key is not published,
  hence the probe lists files. (SDK source)
- Each tier has versions of its own; `latest` stands for one of them today. (SDK docstrings)
- A job may be given at most 7200 seconds, and 300 more a page; languages of scans are codes of a
  fixed list. Neither has a price. (SDK types, pricing page)
- Items of a page are objects with a `type`; a new type makes the SDK give up typing the whole page,
  so they are handed on as they are. (SDK source)
- Usage rows are those of an organization, which has to be named; `event_aggregation_key` is the
  job's id. No method of the SDK asks for them. (API reference)
- A job that has ended cannot be cancelled, and one that runs not be deleted; with which status it
  says so is not published. (SDK docstrings)
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import httpx
import orjson

from gristmill.contract import Open, Operation, R
from gristmill.errors import InvalidResponse, ServiceError, UnreadableSource
from gristmill.services import failures
from gristmill.services.adapter import Adapter, Handler, Reply
from gristmill.services.llamaparse.answers import (
    name_of,
    newest,
    read_credits,
    read_items,
    read_job,
    read_metadata,
    read_own_job,
    read_pages,
    read_projects,
    read_result,
    read_submitted,
    read_usage,
    read_versions,
    submit_arguments,
)
from gristmill.services.llamaparse.errors import classify
from gristmill.services.llamaparse.operations import (
    JOBS_PER_REQUEST,
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
    ListProjects,
    ListUsage,
    PageItems,
    PageMetadata,
    ParsedPage,
    ParseJob,
    ParseResult,
    ParseVersions,
    Project,
    SubmitParse,
    UploadFile,
    UsagePage,
    UsageRow,
    VendorFile,
)

if TYPE_CHECKING:
    from llama_cloud import AsyncLlamaCloud

MOST_LISTED = 200  # pages of a list of jobs; one that goes on is no list of ours
_PAGE_SIZE = JOBS_PER_REQUEST
_USAGE_PAGE_SIZE = 1000
_USAGE_PATH = "/api/v1/beta/usage-metrics"


class LlamaParse(Adapter["AsyncLlamaCloud"]):
    """Executes the operations of this module."""

    service = "llamaparse"
    sdk_modules = ("llama_cloud", "llama_cloud.resources.parsing", "llama_cloud.resources.files")
    _organization: str | None = None

    def _build(self) -> "AsyncLlamaCloud":
        from llama_cloud import AsyncLlamaCloud  # noqa: PLC0415 — `_loaded` did it off the loop

        sdk = AsyncLlamaCloud(
            api_key=self._endpoint.key,
            base_url=self._endpoint.base_url,
            timeout=self._http.timeout,
            max_retries=0,
            http_client=self._http,
        )
        # LLAMA_CLOUD_CUSTOM_HEADERS is read whatever is passed.
        sdk._custom_headers = {}  # noqa: SLF001 — no public way in 2.19
        return sdk

    def _handlers(self) -> Mapping[type[Operation[Any]], Handler]:
        return {
            UploadFile: self._upload,
            SubmitParse: self._submit,
            GetParseJob: self._job,
            ListParseJobs: self._list,
            FindParseJob: self._find,
            GetParseResult: self._result_of,
            GetParseText: self._text_of,
            GetParseItems: self._items_of,
            GetParseMetadata: self._metadata_of,
            GetParseUsage: self._usage,
            ListParseUsage: self._usage_of,
            ListUsage: self._usage_since,
            ListParseVersions: self._versions,
            ListProjects: self._projects,
            CancelParse: self._cancel,
            DeleteParse: self._delete_job,
            DeleteFile: self._delete_file,
            CountFiles: self._count_files,
        }

    def _probe(self) -> Operation[Any]:
        return CountFiles()

    async def _upload(self, sdk: "AsyncLlamaCloud", operation: UploadFile) -> Reply[VendorFile]:
        # An open handle is streamed by the SDK; a Path it reads into memory, and a str it takes
        # for a path.
        with closing(await asyncio.to_thread(_opened, operation.path)) as file:
            raw = await sdk.files.with_raw_response.create(
                file=(operation.file_name, file),
                purpose="parse",
                external_file_id=operation.external_id,
            )
        response = raw.http_response
        with failures.reading(self.service, response):
            uploaded = VendorFile(name_of(orjson.loads(response.content)["id"]))
        return Reply(uploaded, response)

    async def _submit(self, sdk: "AsyncLlamaCloud", operation: SubmitParse) -> Reply[ParseJob]:
        raw = await sdk.parsing.with_raw_response.create(**submit_arguments(operation))
        response = raw.http_response
        with failures.reading(self.service, response):
            job = read_submitted(orjson.loads(response.content), operation.tag)
        return Reply(job, response, Open(job.id))

    async def _list(
        self, sdk: "AsyncLlamaCloud", operation: ListParseJobs
    ) -> Reply[tuple[ParseJob, ...]]:
        reply = await self._walk(sdk, {"job_ids": list(operation.job_ids)})
        jobs = newest(reply.value, set(operation.job_ids))
        return Reply(jobs, reply.response, requests=reply.requests)

    async def _find(
        self, sdk: "AsyncLlamaCloud", operation: FindParseJob
    ) -> Reply[tuple[ParseJob, ...]]:
        reply = await self._walk(sdk, {"created_at_on_or_after": operation.since})
        jobs = tuple(job for job in reply.value if job.tag == operation.tag)
        return Reply(jobs, reply.response, requests=reply.requests)

    async def _walk(
        self, sdk: "AsyncLlamaCloud", filters: dict[str, Any]
    ) -> Reply[tuple[ParseJob, ...]]:
        jobs: list[ParseJob] = []
        tokens: list[str] = []
        for _ in range(MOST_LISTED):
            page_filter = {**filters, "page_token": tokens[-1]} if tokens else filters
            raw = await sdk.parsing.with_raw_response.list(page_size=_PAGE_SIZE, **page_filter)
            response = raw.http_response
            with failures.reading(self.service, response):
                body = orjson.loads(response.content)
                jobs.extend(read_job(item) for item in body["items"])
                following = body.get("next_page_token")
                if following in tokens:
                    raise ValueError("the list of jobs runs in a circle")
            if not following:
                return Reply(tuple(jobs), response, requests=1 + len(tokens))
            tokens.append(following)
        raise failures.failure(
            InvalidResponse, self.service, f"a list of jobs does not end after {MOST_LISTED} pages"
        )

    async def _job(self, sdk: "AsyncLlamaCloud", operation: GetParseJob) -> Reply[ParseJob]:
        return await self._get(sdk, operation.job_id, (), lambda body: read_job(body["job"]))

    async def _result_of(
        self, sdk: "AsyncLlamaCloud", operation: GetParseResult
    ) -> Reply[ParseResult]:
        content = "text" if operation.tier == "fast" else "markdown"
        expand = (content, "usage")
        return await self._get(
            sdk, operation.job_id, expand, lambda body: read_result(body, content)
        )

    async def _text_of(
        self, sdk: "AsyncLlamaCloud", operation: GetParseText
    ) -> Reply[tuple[ParsedPage, ...]]:
        job = operation.job_id
        return await self._get(sdk, job, ("text",), lambda body: read_pages(body, "text"))

    async def _items_of(
        self, sdk: "AsyncLlamaCloud", operation: GetParseItems
    ) -> Reply[tuple[PageItems, ...]]:
        return await self._get(sdk, operation.job_id, ("items",), read_items)

    async def _metadata_of(
        self, sdk: "AsyncLlamaCloud", operation: GetParseMetadata
    ) -> Reply[tuple[PageMetadata, ...]]:
        return await self._get(sdk, operation.job_id, ("metadata",), read_metadata)

    async def _usage(
        self, sdk: "AsyncLlamaCloud", operation: GetParseUsage
    ) -> Reply[Decimal | None]:
        job = operation.job_id
        return await self._get(sdk, job, ("usage",), lambda body: read_credits(body["job"]))

    async def _get(
        self,
        sdk: "AsyncLlamaCloud",
        job_id: str,
        expand: tuple[str, ...],
        read: Callable[[dict[str, Any]], R],
    ) -> Reply[R]:
        raw = await sdk.parsing.with_raw_response.get(job_id, expand=list(expand))
        response = raw.http_response
        with failures.reading(self.service, response):
            body = orjson.loads(response.content)
            read_own_job(body["job"], job_id)
            value = read(body)
        return Reply(value, response)

    async def _usage_of(
        self, sdk: "AsyncLlamaCloud", operation: ListParseUsage
    ) -> Reply[tuple[UsageRow, ...]]:
        reply = await self._usage_page(sdk, {"event_aggregation_key": operation.job_id})
        return Reply(reply.value.rows, reply.response, requests=reply.requests)

    async def _usage_since(self, sdk: "AsyncLlamaCloud", operation: ListUsage) -> Reply[UsagePage]:
        asked = {"day_on_or_after": operation.since.isoformat(), "page_size": _USAGE_PAGE_SIZE}
        if operation.page is not None:
            asked["page_token"] = operation.page
        return await self._usage_page(sdk, asked)

    async def _usage_page(self, sdk: "AsyncLlamaCloud", asked: dict[str, Any]) -> Reply[UsagePage]:
        requests = 1 if self._organization else 2
        asked["organization_id"] = await self._organization_of(sdk)
        # The SDK has no method for it; this is its way to call anything.
        response = await sdk.get(_USAGE_PATH, cast_to=httpx.Response, options={"params": asked})
        with failures.reading(self.service, response):
            page = read_usage(orjson.loads(response.content))
        return Reply(page, response, requests=requests)

    async def _organization_of(self, sdk: "AsyncLlamaCloud") -> str:
        """Whose the key is, which does not change; asked once."""
        if self._organization is None:
            reply = await self._projects(sdk, ListProjects())
            with failures.reading(self.service, reply.response):
                (self._organization,) = {project.organization for project in reply.value}
        return self._organization

    async def _projects(
        self, sdk: "AsyncLlamaCloud", operation: ListProjects
    ) -> Reply[tuple[Project, ...]]:
        del operation
        raw = await sdk.projects.with_raw_response.list()
        response = raw.http_response
        with failures.reading(self.service, response):
            projects = read_projects(orjson.loads(response.content))
        return Reply(projects, response)

    async def _versions(
        self, sdk: "AsyncLlamaCloud", operation: ListParseVersions
    ) -> Reply[ParseVersions]:
        del operation
        raw = await sdk.parsing.with_raw_response.list_versions()
        response = raw.http_response
        with failures.reading(self.service, response):
            versions = read_versions(orjson.loads(response.content))
        return Reply(versions, response)

    async def _cancel(self, sdk: "AsyncLlamaCloud", operation: CancelParse) -> Reply[ParseJob]:
        raw = await sdk.parsing.with_raw_response.cancel(operation.job_id)
        response = raw.http_response
        with failures.reading(self.service, response):
            job = read_own_job(orjson.loads(response.content), operation.job_id)
        return Reply(job, response)

    async def _delete_job(self, sdk: "AsyncLlamaCloud", operation: DeleteParse) -> Reply[None]:
        raw = await sdk.parsing.with_raw_response.delete(operation.job_id)
        return Reply(None, raw.http_response)

    async def _delete_file(self, sdk: "AsyncLlamaCloud", operation: DeleteFile) -> Reply[None]:
        raw = await sdk.files.with_raw_response.delete(operation.file_id)
        return Reply(None, raw.http_response)

    async def _count_files(self, sdk: "AsyncLlamaCloud", operation: CountFiles) -> Reply[int]:
        del operation
        raw = await sdk.files.with_raw_response.list(page_size=1)
        response = raw.http_response
        with failures.reading(self.service, response):
            count = len(orjson.loads(response.content)["items"])
        return Reply(count, response)

    def _error_answer(self, error: Exception) -> httpx.Response | None:
        from llama_cloud import APIStatusError  # noqa: PLC0415 — loaded by now

        return error.response if isinstance(error, APIStatusError) else None

    def _classify(self, answer: failures.Answer) -> ServiceError:
        return classify(answer, self._endpoint.base_url)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UnreadableSource(f"{path.name} cannot be read: {error.strerror}.") from None
