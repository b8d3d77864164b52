"""`expand`: which keys there are, and the answer of `GET /api/v2/parse/{id}` with them.

Work on a large result takes long enough to be done off the loop.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.llamacloud import artifacts, presigned, query, state
from gristmill_simulators.llamacloud.artifacts import IMAGES, SUFFIX
from gristmill_simulators.llamacloud.contents import SHAPES, Result
from gristmill_simulators.llamacloud.errors import LlamaCloudError
from gristmill_simulators.llamacloud.presigned import Presigner
from gristmill_simulators.llamacloud.switches import Script
from gristmill_simulators.simulator import Simulator

_NOT_ON_FAST = {"forms", "items", "markdown", "markdown_full"}
_FILES = {name + SUFFIX for name in artifacts.NAMES}
_KNOWN = SHAPES.keys() | _FILES | {IMAGES, "job_metadata", "raw_parameters", "usage"}

Links = Callable[[str], str]  # the name of a file to its URL


def check(expand: frozenset[str], tier: str) -> None:
    """Raises LlamaCloudError (400) for an unknown key or one that the tier does not have."""
    if unknown := expand - _KNOWN:
        raise LlamaCloudError(400, f"Unsupported expand value: {min(unknown)}")
    if tier == "fast" and (missing := {key.removesuffix(SUFFIX) for key in expand} & _NOT_ON_FAST):
        raise LlamaCloudError(400, f"expand={min(missing)} is not available for the fast tier")


class Expansion:
    """Makes answers and files from the stored pages of a job."""

    def __init__(self, simulator: Simulator, folders: state.Folders, presigner: Presigner) -> None:
        self._simulator = simulator
        self._folders = folders
        self._presigner = presigner

    def links(self, request: Request, row: sqlite3.Row) -> "_Links":
        names = frozenset(query.many(request, "image_filenames"))
        switch = self._simulator.settings.current.llamacloud.content_names

        def link(name: str) -> str:
            url: str = self._presigner.url(request, "result", row["id"], name)["url"]
            return url

        return _Links(link, names, switch, self._source_kept(row))

    def answer(
        self, row: sqlite3.Row, job: dict[str, Any], expand: frozenset[str], links: "_Links"
    ) -> bytes:
        """The body, with null for contents that are not there yet. Raises LlamaCloudError (404)."""
        answer: dict[str, Any] = {"job": job}
        result = None
        if expand - {"usage"} and row["visible"] == "COMPLETED":
            result = self._result(row)
        for name in sorted(expand & SHAPES.keys()):
            answer[name] = None if result is None else SHAPES[name](result)
        if IMAGES in expand:
            answer[IMAGES] = None if result is None else links.images(result)
        if files := expand & _FILES:
            answer["result_content_metadata"] = (
                None if result is None else links.files(files, result, row["file_name"])
            )
        if "job_metadata" in expand:
            answer["job_metadata"] = _job_metadata(row, result, job["usage"])
        if "raw_parameters" in expand:
            answer["raw_parameters"] = _parameters(row)
        return orjson.dumps(answer)

    def file(self, row: sqlite3.Row | None, name: str) -> Response:
        """A result's file by the name in its URL; 404 once the job or its result is gone."""
        if row is None or row["visible"] != "COMPLETED":
            return presigned.gone()
        try:
            result = self._result(row)
        except LlamaCloudError:
            return presigned.gone()
        if name == artifacts.OUTPUT_PDF:
            path = self._folders.file(row["file_id"] or "")
            return (
                presigned.download(path, row["file_name"]) if path.is_file() else presigned.gone()
            )
        made = artifacts.made(name, result) or _screenshot(name, result)
        return presigned.gone() if made is None else Response(made[1], media_type=made[0])

    def _result(self, row: sqlite3.Row) -> Result:
        lifetime = self._simulator.settings.current.llamacloud.result_lifetime_seconds
        if lifetime is not None and row["released_at"] + lifetime <= self._simulator.clock():
            raise LlamaCloudError(404, "Parse result not found")
        try:
            pages = orjson.loads(self._folders.result(row["result_id"]).read_bytes())
        except FileNotFoundError:
            raise LlamaCloudError(404, "Parse result not found") from None
        script = None if row["script"] is None else Script.model_validate_json(row["script"])
        return Result(
            pages,
            orjson.loads(row["options"]),
            failed=frozenset(orjson.loads(row["failed_pages"] or "[]")),
            empty=frozenset(script.empty_pages if script is not None else ()),
            easy=frozenset(orjson.loads(row["easy_pages"] or "[]")),
        )

    def _source_kept(self, row: sqlite3.Row) -> bool:
        file = self._simulator.database.read_one(
            "SELECT expires_at FROM llama_files WHERE id = ?", row["file_id"]
        )
        if file is None:
            return False
        return file["expires_at"] is None or bool(file["expires_at"] > self._simulator.clock())


class _Links:
    """Names, sizes and URLs of a job's files."""

    def __init__(
        self, link: Links, filenames: frozenset[str], names: str, source_kept: bool
    ) -> None:
        self._link = link
        self._filenames = filenames
        self._names = names
        self._source_kept = source_kept

    def images(self, result: Result) -> dict[str, Any]:
        images = [
            {**image, "presigned_url": self._link(image["filename"])}
            for image in artifacts.images(result)
            if not self._filenames or image["filename"] in self._filenames
        ]
        return {"total_count": len(images), "images": images}

    def files(
        self, expand: frozenset[str] | set[str], result: Result, file_name: str
    ) -> dict[str, Any]:
        """Raises LlamaCloudError (404) where a file needs the source, which is gone."""
        names = sorted(key.removesuffix(SUFFIX) for key in expand)
        return {
            artifacts.key(name, self._names): self._file(name, result, file_name) for name in names
        }

    def _file(self, name: str, result: Result, file_name: str) -> dict[str, Any]:
        if name == artifacts.OUTPUT_PDF:
            if not artifacts.has_output_pdf(result, file_name):
                return {"size_bytes": 0, "exists": False, "presigned_url": None}
            if not self._source_kept:
                raise LlamaCloudError(404, "The source file is no longer available")
            return {"size_bytes": 0, "exists": True, "presigned_url": self._link(name)}
        made = artifacts.made(name, result)
        if made is None:
            return {"size_bytes": 0, "exists": False, "presigned_url": None}
        return {"size_bytes": len(made[1]), "exists": True, "presigned_url": self._link(name)}


def _screenshot(name: str, result: Result) -> artifacts.Made | None:
    for image in artifacts.images(result):
        if image["filename"] == name:
            return "image/png", artifacts.blank_png(image["bbox"]["w"], image["bbox"]["h"])
    return None


def _job_metadata(
    row: sqlite3.Row, result: Result | None, usage: dict[str, Any] | None
) -> dict[str, Any]:
    """Free-form on the wire; the keys are those seen in v1."""
    return {
        "job_pages": None if result is None else len(result.pages),
        "job_is_cache_hit": bool(row["cache_hit"]),
        "job_auto_mode_triggered_pages": 0,
        "job_credits_usage": usage and usage["credits"],
        "parse_version": row["version"],
    }


def _parameters(row: sqlite3.Row) -> dict[str, Any]:
    options = orjson.loads(row["options"])
    control = options.pop("control")
    given = {"tier": row["tier"], "version": row["version"], **options}
    return {**given, "processing_control": control} if control else given
