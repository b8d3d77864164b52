"""A simulated collection becomes real: what that would cost, and doing it."""

import time

from gristmill.contract import Origin
from gristmill.errors import Misconfigured
from gristmill.library.repairing import RepairEstimate, priced
from gristmill.pipeline.document import PipelineOptions
from gristmill.pipeline.making_real import Conversion, would_lack
from gristmill.pipeline.making_real import make_real as convert
from gristmill.system import System


async def estimate_make_real(system: System, name: str) -> RepairEstimate:
    """What the repairs would cost that follow; changes nothing and asks no service.

    Documents that are not published yet are not in it: their cost is that of taking them in.

    Raises:
        CollectionError: there is none, or it is real already.
        Misconfigured: the mode of openai brings simulated vectors.
    """
    started = time.monotonic()
    options = await system.pipeline_options()
    found = await would_lack(system.database, options, name)
    _refuse_mock(options)
    return RepairEstimate(tuple(found), await priced(system, options, found, started))


async def make_real(system: System, name: str) -> Conversion:
    """Makes it real, in one transaction; repairs bring the vectors.

    Raises:
        CollectionError: there is none, or it is real already.
        Misconfigured: the mode of openai brings simulated vectors, or real money has no limit.
    """
    _refuse_mock(await system.pipeline_options())
    return await convert(await system.context(), name)


def _refuse_mock(options: PipelineOptions) -> None:
    if options.embedding.origin is not Origin.REAL:
        raise Misconfigured(
            "The mode of openai is mock, and a real collection needs real vectors.",
            advice="gristmill mode openai real or hybrid first.",
        )
