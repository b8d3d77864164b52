"""A vendor with a book, for the tests of money."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ledger_load import HERE


@pytest.fixture
async def vendor() -> AsyncIterator[str]:
    """The socket of a vendor that nobody kills."""
    with tempfile.TemporaryDirectory(prefix="grist") as folder:  # short: it is a socket's path
        socket = str(Path(folder) / "vendor")
        process = await asyncio.create_subprocess_exec(
            sys.executable, HERE / "ledger_vendor.py", socket, stdin=-1, stdout=-1
        )
        assert process.stdout is not None
        await process.stdout.readline()
        yield socket
        process.kill()
        await process.wait()
