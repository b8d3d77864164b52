"""The bill of a parse, read whenever the vendor has it, written once."""

from decimal import Decimal

from gristmill.costs.ledger import End, EntryKind, Ledger
from gristmill.costs.prices import PRICES, credit_usage
from gristmill.pipeline.parses import Parse
from gristmill.services.llamaparse import SubmitParse
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)


async def settle_bill(ledger: Ledger, parse: Parse, billed: Decimal | None) -> Decimal | None:
    """Settles the call that the parse was; None while there is no bill, or none that makes sense.

    Repeating it changes nothing.
    """
    if billed is None or parse.job_id is None:
        return None
    try:
        usage = credit_usage(billed)
    except ValueError as error:
        log.warning("bill.refused", job=parse.job_id, error=str(error))
        return None
    nano_dollars = PRICES.cost(SubmitParse.service, usage)
    end = End(EntryKind.POSTED, usage, nano_dollars, PRICES.version)
    await ledger.settle(SubmitParse.service, parse.job_id, end)
    return billed
