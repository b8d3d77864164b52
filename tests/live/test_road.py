"""One page through the real vendors, for a few tenths of a cent, and removed again."""

import os
from pathlib import Path
from uuid import uuid4

import pytest
from pdfs import pdf

from gristmill import Gristmill
from gristmill.contract import Origin
from gristmill.settings import load_settings

NEEDED = ("OPENAI_API_KEY", "LLAMA_CLOUD_API_KEY", "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY")
MISSING = [name for name in NEEDED if not os.environ.get(name)]

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}; it is billed"),
]


@pytest.mark.timeout(600)
async def test_a_page_is_found_by_what_it_says_and_leaves_nothing_behind(
    tmp_path: Path, conninfo_url: str
) -> None:
    word = f"quernstone {uuid4().hex[:8]}"
    page = tmp_path / "page.pdf"
    page.write_bytes(pdf(f"The {word} turns once for every paid page."))
    environment = {name: os.environ[name] for name in NEEDED} | {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_MODE": "real",
        "GRISTMILL_I_ACCEPT_NO_LIMITS": "1",
        "DATABASE_URL": conninfo_url,
    }
    async with Gristmill(load_settings(environment, tmp_path)) as mill:
        report = await mill.ingest(page, collection="live")
        assert report.is_complete, report.documents
        answer = await mill.search(f"what does the {word} do?", collection="live")
        assert word in answer.hits[0].text
        assert answer.hits[0].origin is Origin.REAL
        await mill.delete(report.documents[0].id)
        assert await mill.documents(collection="live") == []
