"""What stands between a caller and a vendor's adapter.

Outermost first:

1. `Observe` sees the whole call as the caller does, waits included.
2. `Retry` repeats a call for seconds, and sets the deadline for whatever waits below. Each try
   passes all that follows anew.
3. `Breaker` refuses calls while the service does not serve: below the retries, so that they end
   with it, and above the limits, so that a refused call takes no place in them.
4. `Health` hears how each try went, and tells how the service does; above the limits, since what is
   known by now takes no turn.
5. `Concurrency` lets as many calls in as the service takes, where no limit is published.
6. `RateLimit` waits for the call's turn. It is above the budget so that a call that waits holds no
   money; a refused one gives its turn back.
7. `Budget` stands next to the adapter: what is held is exactly what leaves, and nothing billable
   leaves without room for its worst case. It is below the retries: each try is held for itself.
8. The adapter, which holds no policy.
"""

from collections.abc import Callable
from functools import partial

from gristmill.contract import Origin, ServiceInterface
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import Prices
from gristmill.health.hearing import Hearing
from gristmill.policies.breaker import LONGEST_SECONDS, Breaker
from gristmill.policies.budget import Budget
from gristmill.policies.concurrency import Concurrency
from gristmill.policies.health import Health
from gristmill.policies.layer import Layer
from gristmill.policies.observe import Observe
from gristmill.policies.rate_limit import RateLimit
from gristmill.policies.retry import SECONDS, Retry
from gristmill.quotas.turns import Turns


def stack(
    adapter: ServiceInterface,
    *,
    ledger: Ledger,
    prices: Prices,
    turns: Turns,
    hearing: Hearing,
    origin: Origin,
    endpoint: str,
    patience: float = SECONDS,
    longest_open: float = LONGEST_SECONDS,
    on_recovery: Callable[[], None] = lambda: None,
) -> Layer:
    """The adapter with every policy around it.

    `origin` and `endpoint` say what is expected to answer its calls, and where. `patience` is how
    long a call may wait in all, `longest_open` how long a service is left alone at most, both in
    seconds. `on_recovery` is called when it serves again after it was left alone.
    """
    layers: list[Callable[[ServiceInterface], Layer]] = [
        partial(Observe, endpoint=endpoint),
        partial(Retry, seconds=patience),
        partial(Breaker, longest=longest_open, on_close=on_recovery),
        partial(Health, hearing=hearing),
        Concurrency,
        partial(RateLimit, turns=turns),
        partial(Budget, ledger=ledger, prices=prices, origin=origin, endpoint=endpoint),
    ]
    *outer, innermost = layers
    service = innermost(adapter)
    for layer in reversed(outer):
        service = layer(service)
    return service
