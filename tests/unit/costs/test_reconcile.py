"""The journal beside a vendor's bill: what agrees, what may yet agree, and what never will."""

from decimal import Decimal

import pytest
from money import MODEL, RELEASED, end, hold, opened, posted

from gristmill.contract import Origin, Usage
from gristmill.costs.explanations import explanations
from gristmill.costs.ledger import EntryKind
from gristmill.costs.prices import PRICES, credit_usage
from gristmill.costs.reconcile import (
    EXAMPLES,
    Account,
    Bill,
    BillLine,
    Difference,
    accounts,
    compare,
)
from gristmill.errors import Unavailable

OPENAI = Account("openai", "api.openai.com", Origin.REAL)
PARSER = Account("llamaparse", "api.cloud.llamaindex.ai", Origin.REAL)
CREDITS = ("credit", "millicredits")
PAGE = 3_750_000


async def pages(*lines):
    for line in lines:
        yield [line]


def tokens(number, model=MODEL):
    return BillLine(model, "tokens", Decimal(number))


def credits_(number, job):
    return BillLine("credit", "millicredits", Decimal(number) * 1000, job)


@pytest.fixture
def embed(ledger):
    """Calls of OpenAI, which may use 100 tokens, with their ends."""

    async def embed(*ends, **facts):
        for how in ends:
            used = Usage(MODEL, "tokens", 100)
            call = await ledger.hold(hold(2000, usage=used, endpoint=OPENAI.endpoint, **facts))
            if how is not None:
                await ledger.end(call, how)

    return embed


def used(number):
    return posted(number * 20, usage=Usage(MODEL, "tokens", number))


@pytest.fixture
def parse(ledger):
    """A parse of one page, with its ends."""

    async def parse(*ends, **facts):
        usage = Usage("cost_effective", "pages", 1)
        place = {"service": "llamaparse", "operation": "SubmitParse", "endpoint": PARSER.endpoint}
        call = await ledger.hold(hold(PAGE, usage=usage, **place, **facts))
        for how in ends:
            await ledger.end(call, how)

    return parse


def billed(number):
    usage = credit_usage(Decimal(number))
    return posted(PRICES.cost("llamaparse", usage), usage=usage)


@pytest.fixture
def compared(database):
    async def compared(account, *lines):
        named = CREDITS if account is PARSER else None
        return await compare(database, PRICES, account, Bill(pages(*lines), named))

    return compared


async def test_what_was_used_and_what_was_billed_agree_product_by_product(embed, compared):
    await embed(used(60), used(40), RELEASED)
    await embed(used(7), origin=Origin.SIMULATED)
    (found,) = await compared(OPENAI, tokens(30), tokens(70))
    assert (found.product, found.unit) == (MODEL, "tokens")
    assert (found.journal, found.vendor, found.difference) == (100, 100, 0)
    assert found.nano_dollars == 2000
    assert found.differing == 0
    assert explanations(found) == []


async def test_a_call_that_nobody_knows_the_end_of_may_have_been_billed_or_not(embed, compared):
    await embed(used(60), None, end(EntryKind.ASSUMED, 2000))
    for extra in (0, 1, 200):
        (found,) = await compared(OPENAI, tokens(60 + extra))
        assert (found.lost, found.lost_nano_dollars, found.differing) == (2, 4000, 0)
        (told,) = explanations(found)
        assert told.startswith("2 calls are under way or without an answer")
    (found,) = await compared(OPENAI, tokens(261))
    assert found.differing == 1
    assert found.differences == (Difference("", 60, 261),)
    assert any("201 tokens that this journal knows no call for" in t for t in explanations(found))


async def test_a_bill_of_less_than_was_answered_is_never_explained(embed, compared):
    await embed(used(60), None)
    (found,) = await compared(OPENAI, tokens(59))
    assert (found.difference, found.mismatched, found.differing) == (-1, 1, 1)
    assert explanations(found)[-1].startswith("The vendor's bill is not what it answered.")
    (found,) = await compared(OPENAI)
    assert (found.journal, found.vendor, found.differing) == (60, 0, 1)


async def test_a_product_that_the_journal_never_saw_is_strange_even_without_a_price(
    embed, compared
):
    await embed(used(60), None)
    other, known, third = await compared(
        OPENAI, tokens(60), tokens(5, "text-embedding-3-large"), tokens(9, "z-unheard-of")
    )
    assert known.differing == 0
    assert (other.journal, other.strange, other.differing) == (0, 5, 1)
    assert (third.strange, third.differing) == (9, 1)


async def test_jobs_are_compared_one_by_one_and_the_lines_of_a_job_are_added_up(parse, compared):
    await parse(opened(PAGE, "pjb-1"), billed("3"))
    await parse(opened(PAGE, "pjb-2"), billed("4.5"))
    await parse(opened(PAGE, "pjb-3"), billed("0"))
    await parse(RELEASED)
    (found,) = await compared(
        PARSER, credits_(3, "pjb-1"), credits_(1, "pjb-2"), credits_("3.4999", "pjb-2")
    )
    assert (found.journal, found.vendor, found.differing) == (7500, 7500, 0)
    assert found.nano_dollars == 7500 * 1250
    assert explanations(found) == []


async def test_jobs_that_differ_are_named_although_their_sum_is_right(parse, compared):
    await parse(opened(PAGE, "pjb-1"), billed("3"))
    await parse(opened(PAGE, "pjb-2"), billed("5"))
    (found,) = await compared(PARSER, credits_(5, "pjb-1"), credits_(3, "pjb-2"))
    assert (found.difference, found.differing) == (0, 2)
    assert found.differences == (
        Difference("pjb-1", 3000, 5000),
        Difference("pjb-2", 5000, 3000),
    )


async def test_an_open_job_is_explained_whether_its_bill_is_there_or_not(parse, compared):
    await parse(opened(PAGE, "pjb-1"))
    await parse(opened(PAGE, "pjb-2"))
    (found,) = await compared(PARSER, credits_(3, "pjb-1"))
    assert (found.open, found.open_nano_dollars, found.open_vendor) == (2, 2 * PAGE, 3000)
    assert (found.difference, found.strange, found.differing) == (3000, 0, 0)
    (told,) = explanations(found)
    assert told.startswith("2 calls are to be billed, at most $0.007500; gristmill resume reads")
    assert told.endswith("The vendor has billed 3 credits of that by now.")


async def test_a_job_that_was_assumed_is_not_waited_for_until_it_is_found_again(parse, compared):
    await parse(opened(PAGE, "pjb-1"), end(EntryKind.ASSUMED, PAGE))
    (found,) = await compared(PARSER, credits_(3, "pjb-1"))
    assert (found.open, found.lost, found.strange, found.differing) == (0, 1, 0, 0)
    await parse(end(EntryKind.ASSUMED, PAGE), opened(PAGE, "pjb-2"))
    (found,) = await compared(PARSER)
    assert (found.open, found.lost) == (1, 1)


async def test_jobs_of_nobody_are_those_of_lost_calls_as_far_as_these_go(parse, compared):
    await parse(end(EntryKind.ASSUMED, PAGE))
    (found,) = await compared(PARSER, credits_(3, "pjb-lost"))
    assert (found.lost, found.strange, found.differing, found.differences) == (1, 3000, 0, ())
    (found,) = await compared(PARSER, credits_(3, "pjb-lost"), credits_("0.001", "pjb-more"))
    assert (found.strange, found.differing) == (3001, 2)
    assert found.differences[0] == Difference("pjb-lost", None, 3000)
    assert any("3.001 credits that this journal" in told for told in explanations(found))


async def test_many_differences_are_counted_and_only_some_are_named(compared):
    lines = [credits_(1, f"pjb-{n}") for n in range(EXAMPLES + 2)]
    (found,) = await compared(PARSER, *lines)
    assert (found.differing, len(found.differences)) == (EXAMPLES + 2, EXAMPLES)


async def test_what_became_known_while_the_vendor_was_asked_may_be_on_its_bill_or_not(
    database, ledger, embed
):
    await embed(used(60))
    late = await ledger.hold(
        hold(2000, usage=Usage(MODEL, "tokens", 100), endpoint=OPENAI.endpoint)
    )

    async def lines(total):
        yield [tokens(total)]
        await ledger.end(late, used(100))
        await embed(used(100))

    (found,) = await compare(database, PRICES, OPENAI, Bill(lines(160)))
    assert (found.journal, found.lost, found.differing) == (60, 2, 0)


async def test_a_bill_that_cannot_be_read_leaves_nothing_behind(database, compared):
    async def broken():
        yield [tokens(1)]
        raise Unavailable("down")

    for _ in range(2):
        with pytest.raises(Unavailable):
            await compare(database, PRICES, OPENAI, Bill(broken()))
    assert await compared(OPENAI) == []


async def test_accounts_are_services_by_address_and_origin(database, embed, parse):
    await embed(used(1))
    await embed(used(1), origin=Origin.SIMULATED)
    await parse(RELEASED)
    found = await accounts(database)
    assert [(each.service, each.endpoint, each.origin) for each in found] == [
        ("llamaparse", PARSER.endpoint, Origin.REAL),
        ("openai", OPENAI.endpoint, Origin.REAL),
        ("openai", OPENAI.endpoint, Origin.SIMULATED),
    ]
    assert all(each.since is not None for each in found)
