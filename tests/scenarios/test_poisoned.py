"""A passage that the embedding service refuses costs its own vector, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from simulator import SimulatorControl

from gristmill import DocumentStatus, Gristmill
from gristmill.cli.documents import _tell
from gristmill.cli.present import console
from gristmill.settings import Settings, load_settings

WritePdf = Callable[..., Path]

PAGES = 24
BAD = 17  # the page with the text that is refused
EMBED = "openai.embeddings.create"


@pytest.fixture
def settings(tmp_path: Path, conninfo_url: str, simulator: SimulatorControl) -> Settings:
    """Passages so short that hardly two pages share one."""
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
        "DATABASE_URL": conninfo_url,
        "GRISTMILL_CHUNK_TOKENS": "16",
        "GRISTMILL_CHUNK_OVERLAP": "0",
    }
    return load_settings(environment, tmp_path)


def pages() -> list[str]:
    """Each page of words of its own: what stands on every page is taken for a header."""
    words = [f"{chr(97 + n)}{'aeiou'[n % 5]}{chr(122 - n)}" for n in range(PAGES)]
    told = [f"{word * 2} {word[::-1] * 2} {word}s." for word in words]
    told[BAD - 1] = "The forbidden grain has a name: zizania."
    return told


async def ended_calls(mill: Gristmill) -> dict[str, int]:
    """How the calls for vectors ended, by the journal."""
    async with mill._system.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT state, count(*) AS calls FROM calls WHERE operation = 'Embed' GROUP BY state"
        )
        return {row["state"]: row["calls"] for row in await cursor.fetchall()}


async def test_a_poisoned_passage_is_named_and_all_others_are_found_by_their_meaning(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    simulator.configure(openai={"refuse_containing": "zizania"})
    report = await mill.ingest(write_pdf("mills.pdf", *pages()))

    (document,) = report.documents
    assert document.status is DocumentStatus.READY_INCOMPLETE, document.error
    assert document.chunks >= PAGES // 2
    assert document.embedded == document.chunks - 1
    assert report.is_published
    assert not report.is_complete
    (gap,) = (await mill.show(document.id)).incomplete
    assert (gap.page, gap.problem) == (BAD, "refused")
    assert gap.passage is not None
    assert "OpenAI refused" in gap.detail

    assert simulator.calls(EMBED) <= 1 + 2 * 5
    calls = await ended_calls(mill)
    assert calls.keys() == {"posted", "released"}, "what is refused is not held against anybody"
    assert sum(calls.values()) == simulator.calls(EMBED)


async def test_a_passage_without_vector_is_found_by_its_words_and_shown_with_the_reason(
    mill: Gristmill, tmp_path: Path, simulator: SimulatorControl
) -> None:
    path = tmp_path / "grain.md"
    path.write_text("# Barley\n\nBarley is milled.\n\n" * 40 + "# Weeds\n\nZizania is poison.\n")
    simulator.configure(openai={"refuse_containing": "Zizania"})
    document = (await mill.ingest(path)).documents[0]
    assert document.status is DocumentStatus.READY_INCOMPLETE
    hits = (await mill.search("zizania")).hits
    assert any("Zizania" in hit.text for hit in hits[:2])
    with console.capture() as shown:
        _tell(await mill.show(document.id))
    assert "found by its words only" in shown.get()
    assert "lacks 1 of its pages or vectors" in shown.get()
    simulator.configure(openai={"refuse_containing": None})
