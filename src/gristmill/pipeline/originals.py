"""The file of a document as it was taken in, for whoever wants to see it."""

from typing import Final

from gristmill.database.engine import Row
from gristmill.errors import NotFound
from gristmill.pipeline.context import Context
from gristmill.services.supabase import SignUrl

# What searches find is the published version; before there is one, the one that is being built.
_STORED: Final = """
SELECT o.endpoint, o.bucket, o.key, v.name
FROM documents d
JOIN versions v ON v.id = coalesce(d.published_id, d.building_id)
JOIN objects o ON o.id = v.object_id AND o.removing_since IS NULL
WHERE d.id = %s
"""


async def link(context: Context, document_id: str, expires_in: int) -> str:
    """An address that hands out the file, under its own name, for `expires_in` seconds; a secret.

    Raises:
        NotFound: the file is not in storage yet.
        Misconfigured: it is in a storage that the present settings do not reach.
        ServiceError: storage failed.
    """
    stored = await _stored(context, document_id)
    operation = SignUrl(stored["bucket"], stored["key"], expires_in, stored["name"])
    service = context.services.at(operation.service, stored["endpoint"])
    return (await service.execute(operation)).value


async def _stored(context: Context, document_id: str) -> Row:
    async with context.database.connection() as connection:
        row = await (await connection.execute(_STORED, (document_id,))).fetchone()
    if row is None:
        raise NotFound(
            f"The file of {document_id} is not in storage yet.",
            advice="gristmill show tells what it waits for.",
        )
    return row
