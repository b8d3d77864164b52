"""The languages of scans are part of what is asked of the parser, and of what names a parse."""

from collections.abc import Callable
from pathlib import Path

from simulator import SimulatorControl

from gristmill import Gristmill
from gristmill.contract import Origin
from gristmill.pipeline.document import ParseOptions
from gristmill.settings import Settings

WritePdf = Callable[..., Path]


async def test_other_languages_parse_a_document_anew_and_the_same_ones_do_not(
    settings: Settings, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    path = write_pdf("scan.pdf", "Der Weizen.")
    counted = []
    for languages in ("", "", "de"):
        chosen = settings.model_copy(update={"parse_languages": languages})
        async with Gristmill(chosen) as mill:
            assert (await mill.ingest(path)).is_complete
        counted.append(simulator.calls("llamacloud.parsing.create"))
    assert counted == [1, 1, 2]


async def test_the_vendor_is_told_the_languages(
    settings: Settings, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    """Its cache shows what it was told: it bills what it was asked for in another way only."""
    path = write_pdf("scan.pdf", "Der Weizen.")
    billed = []
    for new in ({}, {"max_pages": 1999}, {"parse_languages": "de"}):
        async with Gristmill(settings.model_copy(update=new)) as mill:
            assert (await mill.ingest(path)).is_complete
        billed.append(simulator.billed()["llamacloud"]["credits"])
    assert billed == [3, 3, 6]
    assert simulator.calls("llamacloud.parsing.create") == 3


async def test_a_deadline_beyond_what_the_vendor_takes_is_cut_to_it(
    settings: Settings, write_pdf: WritePdf
) -> None:
    patient = settings.model_copy(update={"parse_deadline_seconds": 86_400.0})
    async with Gristmill(patient) as mill:
        assert (await mill.ingest(write_pdf("late.pdf", "Patience."))).is_complete


def test_without_languages_a_parse_is_named_as_it_always_was() -> None:
    plain = ParseOptions("simulator", Origin.SIMULATED, "agentic", "2026-10-16", 100)
    names = {
        ParseOptions(
            "simulator", Origin.SIMULATED, "agentic", "2026-10-16", 100, languages
        ).fingerprint("0" * 64)
        for languages in ((), ("de",), ("en",), ("de", "en"), ("en", "de"))
    }
    assert len(names) == 5
    assert plain.fingerprint("0" * 64) in names
