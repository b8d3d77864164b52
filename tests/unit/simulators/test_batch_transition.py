"""How far a batch may have come, by looks and by seconds."""

from hypothesis import given
from hypothesis import strategies as st

from gristmill_simulators.openai.batch_transition import Stage, allowed, may_cancel


def stages(value: int) -> list[Stage]:
    return [allowed("polls", value, looks, 0.0).stage for looks in range(1, value + 2)]


def test_at_once_allows_everything():
    assert allowed("at_once", 0, 0, 0.0).stage is Stage.DONE


def test_looks_show_every_state_there_is_room_for():
    assert stages(0) == [Stage.DONE]
    assert stages(1) == [Stage.IN_PROGRESS, Stage.DONE]
    assert stages(2) == [Stage.IN_PROGRESS, Stage.FINALIZING, Stage.DONE]
    assert stages(3) == [
        Stage.VALIDATING,
        Stage.IN_PROGRESS,
        Stage.FINALIZING,
        Stage.DONE,
    ]


@given(st.floats(0.001, 1e6), st.lists(st.floats(0, 2), min_size=2), st.integers(1, 50_000))
def test_time_never_takes_a_batch_back(value, shares, total):
    steps = [allowed("seconds", value, 0, share * value) for share in sorted(shares)]
    assert [step.stage for step in steps] == sorted(step.stage for step in steps)
    lines = [step.lines(total) for step in steps]
    assert lines == sorted(lines)
    assert max(lines) <= total


@given(st.integers(0, 20), st.integers(1, 50_000))
def test_looks_never_take_a_batch_back_and_one_more_than_asked_is_the_end(value, total):
    steps = [allowed("polls", value, looks, 0.0) for looks in range(value + 2)]
    assert [step.stage for step in steps] == sorted(step.stage for step in steps)
    lines = [step.lines(total) for step in steps]
    assert lines == sorted(lines)
    assert lines[-1] == total
    assert steps[-1].stage is Stage.DONE
    assert all(step.stage is not Stage.DONE for step in steps[:-1])


def test_nothing_is_run_before_a_look():
    assert allowed("polls", 0, 0, 0.0).stage is Stage.VALIDATING


def test_cancelling_takes_a_look_or_at_most_ten_minutes():
    assert may_cancel("at_once", 0, 0, 0.0)
    assert [may_cancel("polls", 3, looks, 0.0) for looks in (0, 1, 2)] == [False, False, True]
    assert [may_cancel("polls", 0, looks, 0.0) for looks in (0, 1)] == [False, True]
    assert [may_cancel("seconds", 9000, 0, age) for age in (599, 600)] == [False, True]
    assert may_cancel("seconds", 5, 0, 5)
