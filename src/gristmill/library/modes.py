"""Which side of each service is asked, and why."""

from dataclasses import dataclass

from gristmill.contract import ServiceMode
from gristmill.modes.rulings import Ruling
from gristmill.system import PAID, SIMULATOR, System
from gristmill.system.places import origin_in


@dataclass(frozen=True, slots=True)
class ModeReport(Ruling):
    """The mode of a service, and where that has it asked.

    `asks` names the endpoint, `stands_in` the one that answers while that is down; '' if none does.
    """

    asks: str = ""
    stands_in: str = ""

    @property
    def explanation(self) -> str:
        """What decided the mode, and which setting does not count for that."""
        if not self.set_aside:
            return self.reason
        return f"{self.reason}; {self.set_aside} does not count until it is reset"


async def modes(system: System) -> dict[str, ModeReport]:
    """The modes as they are now, by service."""
    return {name: _report(system, each) for name, each in (await system.modes.all()).items()}


def _report(system: System, ruling: Ruling) -> ModeReport:
    facts = {name: getattr(ruling, name) for name in Ruling.__dataclass_fields__}
    falls_back = ruling.mode is ServiceMode.HYBRID and ruling.service in PAID
    return ModeReport(
        **facts,
        asks=system.endpoint(ruling.service, origin_in(ruling.mode)),
        stands_in=SIMULATOR if falls_back else "",
    )
