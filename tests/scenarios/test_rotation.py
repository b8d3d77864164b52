"""Keys are replaced at the vendors while documents are on their way, and nothing stops."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from simulator import SimulatorControl
from vendor import Vendor

from gristmill import Gristmill
from gristmill.cli.reload import reload_keys
from gristmill.contract import ServiceMode
from gristmill.modes.switches import ask_to_reload
from gristmill.pipeline.document import DocumentStatus
from gristmill.settings import InvalidSettings, Settings, load_settings

NAMES = ("OPENAI_API_KEY", "LLAMA_CLOUD_API_KEY", "SUPABASE_SERVICE_ROLE_KEY")
OLD = ("sk-the-old-key-for-tests", "llx-the-old-key-for-tests", "sb_secret_the-old-key-for-tests")
NEW = ("sk-the-new-key-for-tests", "llx-the-new-key-for-tests", "sb_secret_the-new-key-for-tests")
LOOKS = 30  # at a parse, on which a slow machine takes its time as it does on a rotation


def accept(vendor: SimulatorControl, *sets: tuple[str, str, str]) -> None:
    """Lets these sets of keys in, and no others."""
    openai, llama, supabase = (list(keys) for keys in zip(*sets, strict=True))
    vendor.configure(
        openai={"api_keys": openai},
        llamacloud={"api_keys": llama},
        supabase={"secret_keys": supabase},
    )


def refused(vendor: SimulatorControl) -> int:
    """How many calls had a key that is none."""
    summary = vendor._get("/calls/summary")
    return sum(each["by_status"].get("401", 0) for each in summary.values())


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.02)


async def under_way_has_ended(vendor: SimulatorControl) -> None:
    """The parser, of which alone something is asked by then, was asked again twice."""
    before = vendor.calls("llamacloud.parsing.list")
    await until(lambda: vendor.calls("llamacloud.parsing.list") >= before + 2)


class Keys:
    """The `.env` file of the folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".env.development"

    def become(self, keys: tuple[str, str, str], more: str = "") -> None:
        lines = [f"{name}={key}" for name, key in zip(NAMES, keys, strict=True)]
        self._path.write_text("\n".join([*lines, more]) + "\n")


@pytest.fixture
def environ(
    *,
    tmp_path: Path,
    conninfo_url: str,
    vendor: SimulatorControl,
    vendor_server: Vendor,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """Real mode, with the old keys in the file."""
    given = vendor_server.environment(tmp_path)
    environ = {name: value for name, value in given.items() if not name.endswith("_KEY")} | {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "DATABASE_URL": conninfo_url,
        "GRISTMILL_MODE": "real",
        "GRISTMILL_BUDGET": "none",
        "GRISTMILL_RATE_LLAMAPARSE": "none",
        "GRISTMILL_PARSE_POLL_SECONDS": "0.05",
    }
    monkeypatch.chdir(tmp_path)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    accept(vendor, OLD)
    keys.become(OLD)
    return environ


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def settings(environ: dict[str, str], tmp_path: Path) -> Settings:
    return load_settings(environ, tmp_path)


@pytest.fixture
def papers(write_pdf: Callable[..., Path]) -> list[Path]:
    return [write_pdf(f"paper-{n}.pdf", f"Grain of paper {n}.") for n in range(4)]


def key_of(mill: Gristmill) -> str:
    key = mill.settings.openai_api_key
    return "" if key is None else key.get_secret_value()


async def test_a_rotation_for_everybody_in_mid_ingest_fails_no_document_and_no_call(
    mill: Gristmill,
    vendor: SimulatorControl,
    keys: Keys,
    papers: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    vendor.configure(transition={"kind": "polls", "value": LOOKS})
    ingesting = asyncio.create_task(mill.ingest(*papers))
    await until(lambda: vendor.calls("llamacloud.parsing.create") > 0)
    accept(vendor, OLD, NEW)
    keys.become(NEW)
    assert await reload_keys(as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"asked": True, "restart": []}
    await until(lambda: key_of(mill) == NEW[0])
    await under_way_has_ended(vendor)
    accept(vendor, NEW)
    assert not ingesting.done()
    assert vendor.calls("openai.embeddings.create") == 0, "the old key has paid for none of them"
    report = await ingesting
    assert report.is_complete
    assert refused(vendor) == 0


async def test_documents_that_a_deleted_key_has_parked_go_on_with_the_next(
    mill: Gristmill, vendor: SimulatorControl, keys: Keys, papers: list[Path]
) -> None:
    accept(vendor, NEW)
    await mill.register(*papers)
    worker = await mill._system.worker()
    async with worker.running():
        await in_status(mill, DocumentStatus.PARKED)
        keys.become(NEW)
        assert (await mill.reload_keys()).rotated == ("openai", "llamaparse", "supabase")
        await in_status(mill, DocumentStatus.READY)


async def in_status(mill: Gristmill, status: DocumentStatus) -> None:
    async with asyncio.timeout(30):
        while {each.status for each in await mill.documents()} != {status}:
            await asyncio.sleep(0.02)


async def test_what_is_wrong_in_the_file_is_logged_and_the_keys_stay(
    mill: Gristmill,
    vendor: SimulatorControl,
    keys: Keys,
    papers: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys.become(NEW, "GRISTMILL_MAX_PAGES=none")
    with pytest.raises(InvalidSettings, match="GRISTMILL_MAX_PAGES"):
        await reload_keys(as_json=True)  # so nobody is asked
    await ask_to_reload(mill._system.database, "another machine")
    mill._system.modes.forget()
    assert (await mill.ingest(papers[0])).is_complete
    (kept,) = [each.msg for each in caplog.records if "keys.kept" in str(each.msg)]
    assert "GRISTMILL_MAX_PAGES" in str(kept)
    assert key_of(mill) == OLD[0]
    assert refused(vendor) == 0


async def test_the_key_of_a_service_that_was_switched_to_real_cannot_go(
    environ: dict[str, str], keys: Keys, tmp_path: Path
) -> None:
    settings = load_settings({**environ, "GRISTMILL_MODE": "mock"}, tmp_path)
    async with Gristmill(settings) as mill:
        await mill.switch_mode(ServiceMode.REAL, "openai")
        keys.become(("", "", ""))
        with pytest.raises(InvalidSettings, match="openai is in real mode"):
            await mill.reload_keys()
        assert key_of(mill) == OLD[0]


async def test_what_else_is_different_is_said_to_need_a_restart(
    mill: Gristmill, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    keys.become(OLD, "GRISTMILL_COLLECTION=other")
    found = await mill.reload_keys()
    assert (found.rotated, found.restart) == ((), ("GRISTMILL_COLLECTION",))
    assert mill.settings.collection == "default"
    assert "settings.need_restart" in caplog.text


def test_a_signal_has_a_running_command_read_its_keys_anew(
    environ: dict[str, str],
    vendor: SimulatorControl,
    keys: Keys,
    papers: list[Path],
    tmp_path: Path,
) -> None:
    vendor.configure(transition={"kind": "polls", "value": LOOKS})
    ingest = subprocess.Popen(
        [Path(sys.executable).with_name("gristmill"), "ingest", *papers],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **environ},
    )
    asyncio.run(until(lambda: vendor.calls("llamacloud.parsing.create") > 0))
    accept(vendor, OLD, NEW)
    keys.become(NEW)
    ingest.send_signal(signal.SIGHUP)
    assert ingest.stderr is not None
    said = ingest.stderr.readline()
    asyncio.run(under_way_has_ended(vendor))
    accept(vendor, NEW)
    output, errors = ingest.communicate(timeout=60)
    assert said == "Keys read anew: openai, llamaparse, supabase.\n", errors
    assert ingest.returncode == 0, f"{output} {errors}"
    assert "4 of 4 ready" in output
    assert refused(vendor) == 0
