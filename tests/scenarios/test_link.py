"""`link`: an address that hands out a document's file."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tls import TLS

from gristmill import Gristmill
from gristmill.errors import NotFound

WritePdf = Callable[..., Path]


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as anybody:
        return await anybody.get(url)


async def test_the_address_hands_out_the_file_as_it_was_taken_in_under_its_own_name(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    path = write_pdf("Mühle & Söhne.pdf", "Grist.")
    (document,) = (await mill.ingest(path)).documents
    answer = await get(await mill.link(document.id))
    assert answer.content == path.read_bytes()
    assert "M%C3%BChle%20%26%20S%C3%B6hne.pdf" in answer.headers["content-disposition"]


async def test_an_address_that_was_tampered_with_opens_nothing(
    mill: Gristmill, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("Grist.")
    (document,) = (await mill.ingest(tmp_path / "a.txt")).documents
    url = await mill.link(document.id, expires_in=60)
    assert (await get(url.replace("token=", "token=x"))).status_code == 400


async def test_a_file_that_is_not_stored_yet_has_no_address(
    mill: Gristmill, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("Grist.")
    (entry,) = await mill.register(tmp_path / "a.txt")
    with pytest.raises(NotFound, match="not in storage yet"):
        await mill.link(str(entry.document_id))
    with pytest.raises(NotFound, match="No document has id"):
        await mill.link("doc-nothing")
