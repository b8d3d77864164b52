"""Layers alone and together."""

import pytest
from scripted import ENDPOINT, PRICES, Grind, Look, ScriptedService, answer

from gristmill import errors
from gristmill.contract import Origin, ServiceHealth, Status
from gristmill.costs.ledger import Ledger
from gristmill.health.hearing import Hearing
from gristmill.policies import stack
from gristmill.policies.breaker import Breaker
from gristmill.policies.budget import Budget
from gristmill.policies.concurrency import Concurrency
from gristmill.policies.health import Health
from gristmill.policies.layer import Layer
from gristmill.policies.observe import Observe
from gristmill.policies.rate_limit import RateLimit
from gristmill.policies.retry import Retry
from gristmill.quotas.turns import Turns


async def test_a_layer_that_overrides_nothing_changes_nothing():
    result, health = answer(), ServiceHealth(Status.DEGRADED, reason="slow")
    inner = ScriptedService([result, errors.Throttled("slower")], available=False, health=health)
    layer = Layer(Layer(inner))

    assert layer.is_available() is False
    assert await layer.get_health() is health
    assert await layer.execute(Look()) is result
    with pytest.raises(errors.Throttled):
        await layer.execute(Look())
    assert inner.calls == [Look(), Look()]


def layers(service):
    kinds = [type(service)]
    while isinstance(service, Layer):
        service = service.next
        kinds.append(type(service))
    return kinds


async def test_the_stack_is_in_its_order_and_ends_at_the_adapter(database):
    adapter = ScriptedService([answer(used=1)])
    service = stack(
        adapter,
        ledger=Ledger(database),
        prices=PRICES,
        turns=Turns(database, "openai", ENDPOINT),
        hearing=Hearing(),
        origin=Origin.REAL,
        endpoint=ENDPOINT,
    )

    assert layers(service) == [
        Observe,
        Retry,
        Breaker,
        Health,
        Concurrency,
        RateLimit,
        Budget,
        ScriptedService,
    ]
    assert (await service.execute(Grind())).value == "flour"
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT state, nano_dollars FROM calls")
        assert await cursor.fetchall() == [{"state": "posted", "nano_dollars": 20}]
