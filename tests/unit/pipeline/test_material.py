"""The bytes of a version, from storage when this machine does not have them: proven, or not used."""

import asyncio
import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripted import Everywhere
from scripted_vendor import ScriptedVendor

from gristmill.contract import Origin
from gristmill.errors import UnreadableSource
from gristmill.pipeline.context import Context, Limits
from gristmill.pipeline.document import StorageOptions, Version
from gristmill.pipeline.objects import keep_object
from gristmill.services.adapter import Endpoint
from gristmill.services.http import create_client
from gristmill.services.supabase import Supabase

TEXT = b"grain, ground between two stones\n"
STORAGE = StorageOptions("https://project.supabase.test", Origin.REAL, "gristmill")


@pytest.fixture
async def storage():
    """A storage server that says what a test tells it to."""
    scripted = ScriptedVendor()
    server = await asyncio.start_server(scripted.handle, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    yield scripted
    server.close()


@pytest.fixture
async def material(database, storage, tmp_path):
    """Asks for a version that another machine took in, and answers the bytes that came."""
    sha256 = hashlib.sha256(TEXT).hexdigest()
    facts = {"sha256": sha256, "name": "a.txt", "kind": "txt", "mime": "text/plain", "pages": None}
    version = Version(
        1, size=len(TEXT), path=Path("/elsewhere/a.txt"), host="another", parse_id=None,
        object_id=1, **facts,
    )  # fmt: skip
    assert await keep_object(database, STORAGE, version, "files/a.txt", Origin.REAL) == 1
    async with create_client() as http:
        context = Context(
            database, ledger=None, prices=None, children=None, limits=Limits(file_bytes=1_000_000),
            services=Everywhere(
                Supabase(Endpoint("supabase", storage.url, "sb_secret_test"), http)
            ),
            options=SimpleNamespace(storage=STORAGE), host="here", spool=tmp_path / "spool",
        )  # fmt: skip

        async def read():
            async with context.material(version) as path:
                return path.read_bytes()

        yield read
    assert list((tmp_path / "spool").iterdir()) == []


async def test_what_was_stored_comes_back(storage, material):
    storage.says(200, TEXT)
    assert await material() == TEXT


@pytest.mark.parametrize("other", [TEXT.upper(), TEXT[:-1], TEXT * 100_000], ids=len)
async def test_another_object_in_its_place_is_not_taken_for_it_however_large(
    storage, material, other
):
    storage.says(200, other)
    with pytest.raises(UnreadableSource, match="is not the one that was taken in"):
        await material()
