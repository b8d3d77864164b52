"""The bill of a parse, read whenever the vendor has it, written once."""

from decimal import Decimal

from gristmill.costs.journal import settle
from gristmill.costs.prices import credit_usage
from gristmill.database.engine import Database
from gristmill.pipeline.parses import Parse
from gristmill.services.llamaparse import SubmitParse
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)


async def settle_bill(database: Database, parse: Parse, billed: Decimal | None) -> Decimal | None:
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
    await settle(database, service=SubmitParse.service, vendor_ref=parse.job_id, usage=usage)
    return billed
