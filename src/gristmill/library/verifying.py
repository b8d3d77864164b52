"""The books against themselves, and against the bills of the vendors where these can be read."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Final

from gristmill.contract import Origin
from gristmill.costs.audit import Audit, audit
from gristmill.costs.prices import millicredits
from gristmill.costs.reconcile import Account, Bill, BillLine, Comparison, accounts, compare
from gristmill.errors import DatabaseUnavailable, GristmillError, Misconfigured
from gristmill.library.simulators import Control
from gristmill.services.llamaparse import ListUsage, UsageRow
from gristmill.settings.prices import CREDIT, LLAMAPARSE, MILLICREDITS, OPENAI, TOKENS
from gristmill.system import SIMULATOR, System

MOST_PAGES: Final = 10_000  # of a thousand lines; a bill that goes on is none

# LlamaCloud's books are of more than parses. These rows are: by the job's id, or what was done.
_JOBS: Final = "pjb-"
_EVENTS: Final = frozenset({
    "pages_parsed", "layout_extracted", "form_parsing_pages", "confidence_score_high",
    "audio_seconds_parsed", "chart_parsing_efficient", "chart_parsing_agentic",
    "chart_parsing_plus",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found; a bill that cannot be read is no difference."""

    audit: Audit
    comparisons: tuple[Comparison, ...]

    @property
    def is_clean(self) -> bool:
        """Whether the journal contradicts neither itself nor a vendor."""
        differing = any(found.differing for found in self.comparisons)
        return not (self.audit.breaches or differing)


async def verify(system: System) -> Verification:
    """Looks the books over, then asks each vendor that they name for its bill.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
    """
    found = await audit(system.database)
    compared: list[Comparison] = []
    for account in await _accounts(system):
        compared += await _compared(system, account)
    return Verification(found, tuple(compared))


async def _accounts(system: System) -> list[Account]:
    """Those of the journal; and simulators in use, which may have billed what it does not know."""
    known = await accounts(system.database)
    named = {(each.service, each.endpoint) for each in known}
    in_use = [
        Account(service, SIMULATOR, Origin.SIMULATED)
        for service in (LLAMAPARSE, OPENAI)
        if system.endpoint_of(service) == SIMULATOR and (service, SIMULATOR) not in named
    ]
    return known + in_use


async def _compared(system: System, account: Account) -> list[Comparison]:
    try:
        bill = await _bill(system, account)
        return await compare(system.database, system.prices, account, bill)
    except DatabaseUnavailable:
        raise
    except GristmillError as error:
        return [Comparison(account, problem=f"{error} {error.advice}".strip())]
    except ValueError as error:
        return [Comparison(account, problem=f"Its bill makes no sense: {error}.")]


async def _bill(system: System, account: Account) -> Bill:
    if account.service not in (OPENAI, LLAMAPARSE):
        raise Misconfigured("It is no service of Gristmill's, who does not know where its bill is.")
    is_simulator = (account.endpoint, account.origin) == (SIMULATOR, Origin.SIMULATED)
    if account.endpoint != system.endpoint(account.service, account.origin):
        raise Misconfigured("Nobody is asked at this address by the present settings.")
    if account.service == LLAMAPARSE:
        return Bill(_parses(system, account), named=(CREDIT, MILLICREDITS))
    if account.service == OPENAI and is_simulator:
        return Bill(_embeddings(system))
    raise Misconfigured(
        "Its bill is shown to administrators only.", advice="See platform.openai.com/usage."
    )


async def _embeddings(system: System) -> AsyncIterator[Sequence[BillLine]]:
    async with Control(await system.simulator_url()) as control:
        billed = (await control.get("billed"))[OPENAI]
    yield [BillLine(model, TOKENS, Decimal(use["tokens"])) for model, use in billed.items()]


async def _parses(system: System, account: Account) -> AsyncIterator[Sequence[BillLine]]:
    """Everybody's parses in the organization since the journal's first, a page at a time."""
    service = (await system.router()).at(LLAMAPARSE, account.endpoint)
    since = account.since.astimezone(UTC).date() if account.since else date.min
    page: str | None = None
    for _ in range(MOST_PAGES):
        answer = (await service.execute(ListUsage(since, page))).value
        yield [_line(row) for row in answer.rows if _is_parse(row)]
        if answer.following in (None, page):
            return
        page = answer.following
    raise Misconfigured(f"Its bill does not end after {MOST_PAGES} pages.")


def _is_parse(row: UsageRow) -> bool:
    return row.job_id.startswith(_JOBS) or row.event in _EVENTS


def _line(row: UsageRow) -> BillLine:
    millicredits(row.credits)  # raises where that is no bill
    return BillLine(CREDIT, MILLICREDITS, row.credits * 1000, row.job_id)
