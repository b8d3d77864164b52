"""`POST /api/v1/beta/files/query`: the body of the deprecated list of files."""

from typing import Any

from pydantic import Field, ValidationError

from gristmill_simulators.llamacloud import query
from gristmill_simulators.llamacloud.errors import invalid, invalid_field
from gristmill_simulators.llamacloud.options import Strict
from gristmill_simulators.llamacloud.request import json_object

_MOST = 1000  # values above are coerced to it (docstring of the SDK)
_COLUMNS = {
    "created_at": "created_at",
    "last_modified_at": "created_at",
    "id": "id",
    "name": "name",
}


class Filter(Strict):
    """Which files; there are no data sources here, so every file was uploaded by hand."""

    data_source_id: str | None = None
    external_file_id: str | None = None
    file_ids: list[str] | None = None
    file_name: str | None = None
    only_manually_uploaded: bool | None = None
    project_id: str | None = None


class FileQuery(Strict):
    """As the SDK sends it; `order_by` is a field, followed by `desc` or nothing."""

    filter: Filter = Filter()
    order_by: str | None = None
    page_size: int | None = Field(default=None, ge=1)
    page_token: str | None = None

    def wanted(self) -> dict[str, Any]:
        return {
            "ids": self.filter.file_ids or [],
            "name": self.filter.file_name,
            "external_file_id": self.filter.external_file_id,
        }

    def is_about_others(self) -> bool:
        """Of another project, or of a data source."""
        project = self.filter.project_id
        return self.filter.data_source_id is not None or project not in {None, query.PROJECT_ID}

    def order(self) -> tuple[str, str]:
        """The column and how it sorts, by the first field. Raises LlamaCloudError (422)."""
        first = (self.order_by or "created_at desc").partition(",")[0]
        field, _, way = first.strip().partition(" ")
        if field not in _COLUMNS or way.strip().lower() not in {"", "asc", "desc"}:
            message = f"Input should be one of {', '.join(_COLUMNS)}, with desc or not"
            raise invalid_field(["body", "order_by"], message, self.order_by)
        return _COLUMNS[field], "DESC" if way.strip().lower() == "desc" else "ASC"

    def place(self) -> list[Any] | None:
        """Raises LlamaCloudError (400)."""
        return query.place_of(self.page_token)

    def size(self) -> int:
        return min(self.page_size or 50, _MOST)


def read(body: bytes) -> FileQuery:
    """Raises LlamaCloudError (422)."""
    given = {name: value for name, value in json_object(body).items() if value is not None}
    try:
        return FileQuery.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from None
