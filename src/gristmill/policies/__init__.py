"""What stands between a caller and a vendor's adapter.

Outermost first:

1. `Observe` sees the whole call as the caller does, waits included.
2. `HealthCache` answers how the service does from what it said a few seconds ago; calls pass.
3. `Concurrency` lets as many calls in as the service takes, where no limit is published.
4. `RateLimit` waits for the call's turn. It is above the budget so that a call that waits holds no
   money; a refused one gives its turn back.
5. `Budget` stands next to the adapter: what is held is exactly what leaves, and nothing billable
   leaves without room for its worst case. A layer that repeats calls belongs above it, so that each
   attempt is held for itself.
6. The adapter, which holds no policy.
"""

from collections.abc import Callable
from functools import partial

from gristmill.contract import Origin, ServiceInterface
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import Prices
from gristmill.policies.budget import Budget
from gristmill.policies.concurrency import Concurrency
from gristmill.policies.health import HealthCache
from gristmill.policies.observe import Observe
from gristmill.policies.rate_limit import RateLimit
from gristmill.quotas.turns import Turns


def stack(
    adapter: ServiceInterface,
    *,
    ledger: Ledger,
    prices: Prices,
    turns: Turns,
    origin: Origin,
    endpoint: str,
) -> ServiceInterface:
    """The adapter with every policy around it.

    `origin` and `endpoint` say what is expected to answer its calls, and where.
    """
    layers: list[Callable[[ServiceInterface], ServiceInterface]] = [
        partial(Observe, endpoint=endpoint),
        HealthCache,
        Concurrency,
        partial(RateLimit, turns=turns),
        partial(Budget, ledger=ledger, prices=prices, origin=origin, endpoint=endpoint),
    ]
    service = adapter
    for layer in reversed(layers):
        service = layer(service)
    return service
