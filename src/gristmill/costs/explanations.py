"""What may explain that a vendor's bill is not what the journal says, in sentences."""

from decimal import Decimal

from gristmill.amounts import dollars
from gristmill.contract import Origin
from gristmill.costs.reconcile import Comparison
from gristmill.settings.prices import MILLICREDITS


def quantity(number: int, unit: str) -> str:
    """As the vendor counts: whole credits, not thousandths of them."""
    return f"{Decimal(number) / 1000:,f}" if unit == MILLICREDITS else f"{number:,}"


def amount(number: int, unit: str) -> str:
    """12 credits, 3,436 tokens."""
    return f"{quantity(number, unit)} {'credits' if unit == MILLICREDITS else unit}"


def explanations(found: Comparison) -> list[str]:
    """All there is to say about one comparison; nothing where both say the same."""
    if found.problem:
        return [f"Not compared. {found.problem}"]
    told = [_open(found)] if found.open else []
    if found.lost:
        told.append(
            f"{_calls(found.lost)} under way or without an answer: counted as the worst case,"
            f" {dollars(found.lost_nano_dollars)}, whatever the vendor has billed."
        )
    if found.differing:
        told += _differing(found)
    return told


def _open(found: Comparison) -> str:
    billed = f" The vendor has billed {amount(found.open_vendor, found.unit)} of that by now."
    return (
        f"{_calls(found.open)} to be billed, at most {dollars(found.open_nano_dollars)}; gristmill"
        f" resume reads what is billed.{billed if found.open_vendor else ''}"
    )


def _differing(found: Comparison) -> list[str]:
    is_simulated = found.account.origin is Origin.SIMULATED
    told = []
    if found.strange:
        told.append(
            f"The vendor has billed {amount(found.strange, found.unit)} that this journal knows no"
            " call for. Perhaps another home or program asks "
            f"{'the same simulators' if is_simulated else 'with the same account'}, or did before."
        )
    if found.mismatched:
        reason = (
            "the simulators were reset, or are others than those that answered"
            if is_simulated
            else "its lines come later than its answers"
        )
        told.append(f"The vendor's bill is not what it answered. Perhaps {reason}.")
    return told


def _calls(number: int) -> str:
    return "1 call is" if number == 1 else f"{number:,} calls are"
