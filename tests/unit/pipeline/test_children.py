"""Child processes: what one task can do to itself, and to nobody else."""

import asyncio
import fcntl
import operator
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop

from gristmill.errors import Misconfigured, NotYet, UnreadableSource
from gristmill.pipeline import children
from gristmill.pipeline.children import ChildDied, ChildFailed, ChildPool
from gristmill.pipeline.chunking import ChunkingOptions, Page, split
from gristmill.pipeline.inspection import Inspection, inspect

FOREVER = "while True: pass"
MIB = 1 << 20


@pytest.fixture
async def pool():
    async with ChildPool(size=2) as pool:
        yield pool


def _state(pid: int) -> str:
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()[:1]


async def gone(pid: int) -> bool:
    """Whether a process ends within a few seconds; a zombie has ended."""
    for _ in range(300):
        if _state(pid) in ("", "Z"):
            return True
        await asyncio.sleep(0.02)
    return False


async def reason_of_death(pool: ChildPool, program: str) -> str:
    with pytest.raises(ChildDied) as caught:
        await pool.run(exec, program)
    assert caught.value.advice
    return caught.value.reason


# --- What comes back ------------------------------------------------------------------------


async def test_a_function_runs_in_another_process_and_its_result_comes_back(pool):
    assert await pool.run(operator.add, "grist", "mill") == "gristmill"
    assert await pool.run(os.getpid) != os.getpid()


async def test_our_own_values_go_in_and_come_out(pool, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("Wheat.\fRye.")
    found = await pool.run(inspect, text)
    assert found == Inspection("text", "text/plain", 2, 11)
    pages = [Page(1, "# Wheat\n\nIt is ground."), Page(2, "Rye is not.")]
    assert await pool.run(split, pages, ChunkingOptions()) == split(pages, ChunkingOptions())


async def test_one_of_our_errors_comes_back_as_itself(pool, tmp_path):
    empty = tmp_path / "empty.pdf"
    empty.touch()
    with pytest.raises(UnreadableSource, match="empty") as caught:
        await pool.run(inspect, empty)
    assert caught.value.advice


async def test_another_error_comes_back_as_its_type_and_message(pool):
    with pytest.raises(ChildFailed, match="ZeroDivisionError: division by zero") as caught:
        await pool.run(eval, "1/0")
    assert caught.value.exception == "ZeroDivisionError"


@pytest.mark.parametrize("raised", ["SystemExit(0)", "BaseException('panic')", "StopIteration"])
async def test_exceptions_that_are_no_errors_fail_the_task_and_are_not_lost(pool, raised):
    with pytest.raises(ChildFailed):
        await pool.run(exec, f"raise {raised}")


async def test_a_result_of_many_megabytes_arrives_whole(pool):
    assert await pool.run(operator.mul, "ab", 10 * MIB) == "ab" * 10 * MIB


async def test_a_result_over_the_limit_fails_its_task():
    async with ChildPool(frame_bytes=MIB) as pool:
        with pytest.raises(ChildFailed, match="more than 1,048,576"):
            await pool.run(operator.mul, "a", 2 * MIB)
        with pytest.raises(ValueError, match="arguments"):
            await pool.run(len, "a" * 2 * MIB)


async def test_what_cannot_be_named_is_refused_before_a_child_is_asked(pool):
    with pytest.raises(ValueError, match="lambda"):
        await pool.run(lambda: 1)


# --- What a child may do to itself ----------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed"),
        ("import os; os.abort()", "crash"),
        ("import ctypes; ctypes.string_at(0)", "crash"),
        ("import os; os._exit(3)", "exit"),
        ("import os; os.closerange(3, 99); import time; time.sleep(99)", "killed"),
        ("bytearray(10 << 30)", "memory"),
        ("x = []\nwhile True: x.append(bytes(1 << 20))", "memory"),
    ],
)
async def test_a_death_fails_its_own_task_and_the_next_one_runs(pool, program, reason):
    other = asyncio.create_task(pool.run(eval, "__import__('time').sleep(0.1)"))
    assert await reason_of_death(pool, program) == reason
    assert await other is None
    assert await pool.run(abs, -1) == 1


async def test_a_task_without_end_is_stopped_after_its_time():
    async with ChildPool(size=1, seconds=0.3) as pool:
        before = time.monotonic()
        assert await reason_of_death(pool, FOREVER) == "time"
        assert time.monotonic() - before < 3
        assert await pool.run(abs, -1) == 1


async def test_time_is_counted_for_each_task_alone():
    async with ChildPool(size=1, seconds=1.0) as pool:
        pid = await pool.run(os.getpid)
        busy = "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass"
        for _ in range(21):  # more than the second and the grace of another that one task has
            await pool.run(exec, busy)
        assert await pool.run(os.getpid) == pid


async def test_a_child_is_replaced_after_so_many_tasks():
    async with ChildPool(size=1, tasks_per_child=3) as pool:
        pids = [await pool.run(os.getpid) for _ in range(7)]
    assert [pids.index(pid) for pid in pids] == [0, 0, 0, 3, 3, 3, 6]


async def test_a_child_whose_task_failed_unexpectedly_is_not_used_again():
    async with ChildPool(size=1) as pool:
        pid = await pool.run(os.getpid)
        with pytest.raises(ChildFailed):
            await pool.run(eval, "1/0")
        assert await pool.run(os.getpid) != pid


async def test_a_child_that_died_while_idle_is_no_tasks_fault():
    async with ChildPool(size=1) as pool:
        pid = await pool.run(os.getpid)
        os.kill(pid, signal.SIGKILL)
        assert await pool.run(os.getpid) != pid


async def test_children_that_cannot_start_are_no_documents_fault(pool, monkeypatch):
    monkeypatch.setattr(children, "_COMMAND", (sys.executable, "-c", "raise SystemExit(1)"))
    with pytest.raises(Misconfigured):
        await pool.run(abs, -1)


def test_a_memory_limit_in_which_nothing_could_run_is_refused():
    with pytest.raises(ValueError, match="268,435,456"):
        ChildPool(memory_bytes=64 * MIB)


# --- What it has to work with ---------------------------------------------------------------


async def test_a_child_has_no_secrets_no_descriptors_no_files_and_no_terminal(pool, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-not-a-key")
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")
    names = await pool.run(eval, "sorted(__import__('os').environ)")
    assert names == ["LANG", "MALLOC_ARENA_MAX", "PATH"]
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    async with ChildPool(size=1) as fresh:  # started while the pipe is open
        await fresh.run(abs, -1)
        opened = await fresh.run(eval, "[f for f in range(64) if __import__('os').path.exists(f)]")
    os.close(reading)
    os.close(writing)
    assert len(opened) == 5  # three times /dev/null, and two sockets to the parent
    assert await pool.run(os.getsid, 0) != os.getsid(0)


async def test_a_child_can_write_nothing_to_a_file(pool, tmp_path):
    target = tmp_path / "written"
    program = f"import os; os.write(os.open({str(target)!r}, os.O_CREAT | os.O_WRONLY), b'x' * 99)"
    with pytest.raises(ChildFailed, match="OSError"):
        await pool.run(exec, program)
    assert target.stat().st_size == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        pytest.param(
            "RLIMIT_AS", 1 << 30, marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux")
        ),
    ],
)
async def test_the_limits_are_in_force(pool, name, value):
    assert await pool.run(resource.getrlimit, getattr(resource, name)) == (value, value)


async def test_what_a_task_prints_or_reads_does_not_disturb_the_channel(pool):
    program = "import os, sys; print('x' * 10_000); os.write(1, b'y' * 99); sys.stdin.read()"
    await pool.run(exec, program)
    assert await pool.run(abs, -1) == 1


async def test_ctrl_c_ends_no_child(pool):
    pid = await pool.run(os.getpid)
    os.kill(pid, signal.SIGINT)
    assert await pool.run(os.getpid) == pid


async def test_a_childs_answer_cannot_call_functions_here(pool, tmp_path):
    """A child that a file has taken over may answer with any pickle."""
    proof = tmp_path / "owned"
    hostile = pickle.dumps(_Calls(os.mkdir, str(proof)))
    forged = (
        "import os, struct\n"
        "channel = next(f for f in range(3, 99) if os.path.exists(f'/dev/fd/{f}'))\n"
        f"data = {hostile!r}\n"
        "os.write(channel, b'R' + struct.pack('>Q', len(data)) + data)\n"
    )
    assert await reason_of_death(pool, forged) == "answer"
    assert not proof.exists()


class _Calls:
    def __init__(self, function, argument):
        self.call = function, (argument,)

    def __reduce__(self):
        return self.call


# --- Concurrency, cancellation, closing ------------------------------------------------------


async def test_never_more_than_size_children_and_each_runs_one_task_at_a_time():
    async with ChildPool(size=2) as pool:
        sleeps = "(__import__('os').getpid(), __import__('time').sleep(0.05))[0]"
        pids = await asyncio.gather(*(pool.run(eval, sleeps) for _ in range(6)))
    assert len(set(pids)) == 2


async def test_cancelling_the_caller_kills_the_child(pool, tmp_path):
    flag = tmp_path / "pid"
    task, pid = await _started(pool, flag)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(pid)
    assert await pool.run(abs, -1) == 1


async def test_closing_the_pool_kills_what_runs_and_blames_nobody(tmp_path):
    async with ChildPool(size=1) as pool:
        task, pid = await _started(pool, tmp_path / "pid")
        waiting = asyncio.create_task(pool.run(abs, -1))
        await asyncio.sleep(0)
    assert await gone(pid)
    for each in (task, waiting):
        with pytest.raises(NotYet):
            await each
    with pytest.raises(NotYet):
        await pool.run(abs, -1)


async def _started(pool: ChildPool, flag: Path) -> tuple[asyncio.Task[None], int]:
    """A task that never ends, and its process."""
    task = asyncio.create_task(pool.run(exec, _endless(flag)))
    return task, await _pid_from(flag)


def _endless(flag: Path) -> str:
    """Tells its process by making an empty folder, since it cannot write, and never ends."""
    return f"import os\nos.mkdir({str(flag)!r} + str(os.getpid()))\n{FOREVER}"


async def _pid_from(flag: Path) -> int:
    for _ in range(500):
        if found := list(flag.parent.glob(f"{flag.name}[0-9]*")):
            return int(found[0].name.removeprefix(flag.name))
        await asyncio.sleep(0.01)
    raise AssertionError("the task did not start")


PARENT = """
import asyncio, os, sys
from gristmill.pipeline.children import ChildPool

async def main():
    async with ChildPool(size=2) as pool:
        busy = asyncio.create_task(pool.run(exec, sys.argv[1]))
        await asyncio.sleep(0)
        print(await pool.run(os.getpid), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_children_end_when_their_parent_is_killed_idle_and_busy_alike(tmp_path):
    flag = tmp_path / "pid"
    with _parent(_endless(flag)) as parent:
        idle = int(parent.stdout.readline())
        busy = await _pid_from(flag)
        parent.kill()
    assert await gone(idle)
    assert await gone(busy)


def _parent(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PARENT, program], stdout=subprocess.PIPE)


def test_the_pool_works_on_another_event_loop_too():
    async def run() -> None:
        async with ChildPool(size=1, seconds=0.3) as pool:
            assert await reason_of_death(pool, FOREVER) == "time"
            task = asyncio.create_task(pool.run(exec, "import time; time.sleep(9)"))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pool.run(operator.mul, "a", 4 * MIB) == "a" * 4 * MIB

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def test_no_descriptor_is_left_open_here():
    async def use() -> None:
        async with ChildPool(size=2, tasks_per_child=1, seconds=0.2) as pool:
            await asyncio.gather(*(pool.run(abs, -1) for _ in range(4)))
            await reason_of_death(pool, "import os; os.abort()")
            await reason_of_death(pool, FOREVER)

    await use()
    before = _open_descriptors()
    await use()
    assert _open_descriptors() == before


def _open_descriptors() -> int:
    count = 0
    for descriptor in range(256):
        try:
            fcntl.fcntl(descriptor, fcntl.F_GETFD)
        except OSError:
            continue
        count += 1
    return count


def test_a_child_starts_with_hardly_an_import():
    """Its start is paid again and again, so it must not load the package."""
    program = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='looked at');"
        "print([name for name in sys.modules if name.startswith(('gristmill', 'asyncio'))])"
    )
    command = [sys.executable, "-I", "-S", "-c", program, children._PROGRAM]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
