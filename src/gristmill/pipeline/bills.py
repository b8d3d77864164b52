"""The bill of a parse, read whenever the vendor has it, written once."""

from decimal import Decimal

from gristmill.costs.calls import Calls
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import credit_usage
from gristmill.pipeline.context import Context
from gristmill.services.llamaparse import SubmitParse
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)


async def settle_bill(context: Context, job_id: str, billed: Decimal | None) -> bool:
    """Settles the call that the job was; False while there is no bill, or none that makes sense.

    Repeating it changes nothing.
    """
    if billed is None:
        return False
    calls = Calls(context.ledger, context.prices)
    try:
        await calls.settle(SubmitParse.service, job_id, credit_usage(billed))
    except ValueError as error:
        log.warning("bill.refused", job=job_id, error=str(error))
        return False
    return True


async def assume_bill(ledger: Ledger, job_id: str) -> None:
    """Posts the worst case of a job that the vendor says nothing about."""
    log.warning("bill.assumed", job=job_id)
    await ledger.assume(SubmitParse.service, job_id, "the vendor told no bill")
