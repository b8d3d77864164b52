"""Limits as a person meets them: what does not fit waits, and goes on when there is room."""

from collections.abc import Callable
from pathlib import Path

import pytest
from simulator import SimulatorControl

from gristmill import DocumentStatus, Gristmill, Origin
from gristmill.costs.budgets import Limit
from gristmill.errors import InvalidArgument, Misconfigured
from gristmill.settings import Settings, load_settings

WritePdf = Callable[..., Path]

PAGE = 3_750_000  # nano-dollars for a page of the default tier
KEYS = {
    "OPENAI_API_KEY": "sk-fake-budget",
    "LLAMA_CLOUD_API_KEY": "llx-fake-budget",
    "SUPABASE_URL": "https://fake.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "fake.service.key",
}


async def test_a_document_over_budget_is_parked_says_which_limit_and_goes_on_when_it_is_raised(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    await mill.set_budget(Limit("global", "total", 2 * PAGE))
    path = write_pdf("three.pdf", "Rye.", "Oats.", "Barley is the third page.")

    (parked,) = (await mill.ingest(path)).documents

    assert parked.status is DocumentStatus.PARKED
    assert parked.error_kind == "BudgetExceeded"
    assert parked.error is not None
    assert "total limit is $0.007500" in parked.error
    assert parked.advice == "It waits for a limit of $0.011250 or more: gristmill budget set."
    assert simulator.calls("llamacloud.parsing.create") == 0
    assert (await mill.budget())[0].alerted == 0, "it never fitted: nothing is used up"

    await mill.set_budget(Limit("global", "total", 4 * PAGE))
    (ready,) = (await mill.resume()).documents

    assert ready.status is DocumentStatus.READY
    assert ready.attempts == 0
    (balance,) = await mill.budget()
    assert balance.limit == 4 * PAGE
    assert balance.spent == ready.spent > 3 * PAGE
    assert balance.held == 0


async def test_the_same_file_in_a_collection_that_has_money_does_not_wait_for_one_that_has_none(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    await mill.set_budget(
        Limit("collection", "day", PAGE, "small"), Limit("global", "day", 100 * PAGE)
    )
    path = write_pdf("two.pdf", "Wheat flour.", "Rye flour.")

    (parked,) = (await mill.ingest(path, collection="small")).documents
    (ready,) = (await mill.ingest(path, collection="large")).documents

    assert parked.status is DocumentStatus.PARKED
    assert parked.error is not None
    assert "daily limit of the collection small" in parked.error
    assert ready.status is DocumentStatus.READY


async def test_a_question_that_the_budget_has_no_room_for_is_answered_by_full_text_and_says_so(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    await mill.ingest(write_pdf("stones.pdf", "Millstones are dressed in winter."))
    await mill.set_budget(Limit("service", "total", 0, "openai"))
    answer = await mill.search("when are millstones dressed?")
    assert "Millstones" in answer.hits[0].text
    assert any("limit" in note for note in answer.notes)


@pytest.fixture
def real(tmp_path: Path, conninfo_url: str) -> Callable[..., Settings]:
    """Settings of real mode, whose vendors nobody may reach."""

    def make(**environment: str) -> Settings:
        named = {"GRISTMILL_HOME": str(tmp_path / "home"), "GRISTMILL_MODE": "real", **KEYS}
        return load_settings(named | {"DATABASE_URL": conninfo_url} | environment, tmp_path)

    return make


async def test_real_money_needs_a_limit_before_any_work_begins(
    real: Callable[..., Settings], write_pdf: WritePdf
) -> None:
    path = write_pdf("one.pdf", "Never sent.")
    async with Gristmill(real()) as mill:
        with pytest.raises(Misconfigured, match="no limit is set") as caught:
            await mill.ingest(path)
        assert "--no-limit" in caught.value.advice
        with pytest.raises(Misconfigured, match="no limit is set"):
            await mill.search("anything?")
        assert await mill.documents() == []

        await mill.set_budget(Limit("global", "total", None))
        entries = await mill.register(path)
        assert [entry.outcome for entry in entries] == ["accepted"]


async def test_the_environments_budget_counts_until_somebody_has_set_one(
    real: Callable[..., Settings],
) -> None:
    async with Gristmill(real(GRISTMILL_BUDGET="5/day,50/month")) as mill:
        limits = [(b.scope, b.period, b.limit) for b in await mill.budget()]
        assert limits == [("global", "day", 5 * 10**9), ("global", "month", 50 * 10**9)]
    async with Gristmill(real(GRISTMILL_BUDGET="500/day")) as mill:
        assert [b.limit for b in await mill.budget()] == [5 * 10**9, 50 * 10**9]


async def test_the_last_limit_of_real_money_is_not_removed_by_accident(
    real: Callable[..., Settings],
) -> None:
    async with Gristmill(real(GRISTMILL_BUDGET="5/day,50/month")) as mill:
        assert await mill.clear_budget("global", "day")
        with pytest.raises(InvalidArgument, match="only limit of all real money"):
            await mill.clear_budget("global", "month")
        assert [b.period for b in await mill.budget()] == ["month"]
        assert not await mill.clear_budget("service", "day", "openai")


async def test_limits_of_simulated_and_of_real_money_are_apart(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    await mill.set_budget(Limit("global", "total", 0), origin=Origin.REAL)
    await mill.set_budget(Limit("global", "total", 100 * PAGE))
    (ready,) = (await mill.ingest(write_pdf("one.pdf", "Spelt."))).documents
    assert ready.status is DocumentStatus.READY
    spent = {balance.origin: balance.spent for balance in await mill.budget()}
    assert spent == {Origin.REAL: 0, Origin.SIMULATED: ready.spent}
