"""`/api/v1/projects`: the one project of the key, and the organization that it is under."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.llamacloud.errors import LlamaCloudError, json
from gristmill_simulators.llamacloud.query import ORGANIZATION_ID, PROJECT_ID

_NAME = "Default"


async def list_projects(request: Request) -> Response:
    name = request.query_params.get("project_name", _NAME)
    return json([_shown()] if name == _NAME else [])


async def retrieve(request: Request) -> Response:
    if request.path_params["id"] != PROJECT_ID:
        raise LlamaCloudError(404, "Project not found")
    return json(_shown())


def _shown() -> dict[str, Any]:
    return {
        "id": PROJECT_ID,
        "name": _NAME,
        "organization_id": ORGANIZATION_ID,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "is_default": True,
    }
