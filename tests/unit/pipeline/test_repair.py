"""When repairs may begin by themselves."""

import pytest

from gristmill.pipeline.repair import AT_ONCE, Situation, remedies_of

HEALTHY = {"llamaparse": 100.0, "openai": 100.0, "supabase": 100.0}


@pytest.mark.parametrize(
    ("steady", "possible"),
    [
        (HEALTHY, ["parse", "vectors"]),
        ({"openai": 100.0}, ["vectors"]),
        (HEALTHY | {"llamaparse": 59.0}, ["vectors"]),
        (HEALTHY | {"supabase": 0.0}, ["vectors"]),
        (HEALTHY | {"openai": 59.9}, []),
        ({}, []),
    ],
)
def test_a_repair_begins_once_every_service_it_asks_has_been_healthy_for_a_while(steady, possible):
    assert remedies_of(steady, 60.0) == possible


@pytest.mark.parametrize(
    ("situation", "room"),
    [
        (Situation(is_degraded=True, repairs=0, fresh=0), AT_ONCE),
        (Situation(is_degraded=True, repairs=AT_ONCE - 1, fresh=0), 1),
        (Situation(is_degraded=True, repairs=AT_ONCE + 5, fresh=0), 0),
        (Situation(is_degraded=True, repairs=0, fresh=1), 0),
        (Situation(is_degraded=False, repairs=0, fresh=0), 0),
    ],
)
def test_a_few_repairs_begin_at_once_and_none_before_fresh_work(situation, room):
    assert situation.room == room
