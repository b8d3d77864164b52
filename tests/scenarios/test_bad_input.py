"""Bad input gets a clear sentence, costs nothing, and never holds up what came with it."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import psycopg
import pytest
from pdfs import pdf
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from simulator import SimulatorControl
from users import as_user

from gristmill import DocumentStatus, Gristmill
from gristmill.errors import InvalidArgument
from gristmill.library.sources import look_at, walk
from gristmill.settings import Settings, load_settings
from gristmill.system import System
from gristmill_simulators.server import SimulatorServer

WritePdf = Callable[..., Path]
SOMEBODY = 23456  # a user id that no account has
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
COMMAND = [sys.executable, "-c", "from gristmill.cli import main; main()"]


def archive() -> bytes:
    file = BytesIO()
    with ZipFile(file, "w") as content:
        content.writestr("inside.txt", "wrapped")
    return file.getvalue()


@dataclass(frozen=True)
class Bad:
    """A file that cannot be taken in, and what its owner is to read."""

    name: str
    content: bytes
    sentence: str
    advice: str
    status: str | None = "failed"  # None: refused at the door, no document


WHOLE = pdf("Lost words.", "More lost words.")
BAD = [
    Bad("empty.pdf", b"", "empty: it has 0 bytes", "saved or copied", None),
    Bad("empty.txt", b"", "empty: it has 0 bytes", "saved or copied", None),
    Bad("truncated.pdf", WHOLE[: len(WHOLE) // 2], "is cut off", "copy it again"),
    Bad("encrypted.pdf", pdf("Secret.", password="sesame"), "is locked", "without protection"),
    Bad("archive.pdf", archive(), "named .pdf, but is really a ZIP archive", "Unpack it"),
    Bad("damaged.pdf", b"%PDF-1.7\nrubble\nstartxref\n9\n%%EOF\n", "is damaged", "print it"),
    Bad("pretence.pdf", b"only some words", "not a PDF file, as its name says", "Export it anew"),
    Bad("unknown.xyz", b"what is this?", "of the unknown type .xyz", "Taken are .pdf"),
    Bad("typeless", b"what is this?", "of no type", "Taken are .pdf"),
    Bad("binary.txt", b"MZ\0\1\2\3 text?", "is really a Windows program", "Taken are .pdf"),
    Bad("utf16.txt", b"\xff\xfe\0\xd8a\0", "says that it is UTF-16", "Save it as UTF-8"),
    Bad("cut.docx", archive()[:40], "damaged or cut off", "copy it again"),
]
GOOD = {
    "tides.pdf": pdf("The moon pulls the oceans."),
    "bees.md": b"# Bees\n\nA hive holds one queen.\n",
    "surrogate.txt": b"Herons stand \xed\xa0\x80 in shallow water.",
}


@dataclass(frozen=True)
class Mixed:
    """What a run of `ingest` on good and bad files together said and did."""

    folder: Path
    told: subprocess.CompletedProcess[str]
    report: dict[str, Any]
    rows: dict[str, tuple[str, str, str]]  # status, error, advice by source
    found: dict[str, Any]
    parses: int
    embeddings: int

    def entry(self, name: str) -> dict[str, Any]:
        return next(e for e in self.report["entries"] if e["source"] == str(self.folder / name))


@pytest.fixture(scope="module")
def server(postgres: str) -> Iterator[str]:
    """A database of this module, as a URL."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bad_input TEMPLATE template0")
    yield make_conninfo(postgres, dbname="bad_input")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE bad_input WITH (FORCE)")


def environment(conninfo: str, home: Path, simulator_url: str) -> dict[str, str]:
    parts = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(conninfo).items()}
    place = f"host={parts['host']}&port={parts.get('port', '5432')}"
    return {
        "PATH": os.environ["PATH"],
        "GRISTMILL_HOME": str(home),
        "GRISTMILL_SIMULATOR_URL": simulator_url,
        "DATABASE_URL": f"postgresql://{parts['user']}:{parts['password']}@/{parts['dbname']}?{place}",
    }


def gristmill(
    variables: dict[str, str], *arguments: str | Path, **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=variables,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def mixed(
    server: str, simulator_server: SimulatorServer, tmp_path_factory: pytest.TempPathFactory
) -> Mixed:
    folder = tmp_path_factory.mktemp("mixed")
    files = {bad.name: bad.content for bad in BAD} | GOOD
    for name, content in files.items():
        (folder / name).write_bytes(content)
    paths = [folder / name for name in sorted(files)]
    variables = environment(server, tmp_path_factory.mktemp("home"), simulator_server.base_url)
    control = SimulatorControl(simulator_server.base_url)
    control.reset()
    report = json.loads(gristmill(variables, "ingest", *paths, "--json").stdout)
    told = gristmill(variables, "ingest", *paths)
    calls = [control.calls("llamacloud.parsing.create"), control.calls("openai.embeddings.create")]
    control.close()
    found = json.loads(gristmill(variables, "search", "queen of the hive", "--json").stdout)
    with psycopg.connect(server, options="-csearch_path=gristmill") as connection:
        rows = connection.execute("SELECT source, status, error, advice FROM documents").fetchall()
    return Mixed(folder, told, report, {row[0]: row[1:] for row in rows}, found, *calls)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_person_reads_why_a_file_is_not_taken_and_what_to_do(mixed: Mixed, bad: Bad) -> None:
    lines = mixed.told.stderr.splitlines()
    (line,) = [n for n, text in enumerate(lines) if text.endswith(str(mixed.folder / bad.name))]
    assert lines[line].startswith("failed" if bad.status else "refused")
    assert bad.name in lines[line + 1]
    assert bad.sentence in lines[line + 1]
    assert bad.advice in lines[line + 2]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_machine_reads_the_same(mixed: Mixed, bad: Bad) -> None:
    entry = mixed.entry(bad.name)
    if bad.status is None:
        assert entry["outcome"] == "refused"
        said = entry
    else:
        (said,) = [d for d in mixed.report["documents"] if d["id"] == entry["document_id"]]
        assert (said["status"], said["error_kind"]) == (bad.status, "UnreadableSource")
    assert bad.sentence in said["error"]
    assert bad.advice in said["advice"]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_the_database_holds_the_ending_and_no_document_for_what_the_door_refused(
    mixed: Mixed, bad: Bad
) -> None:
    row = mixed.rows.get(str(mixed.folder / bad.name))
    if bad.status is None:
        assert row is None
    else:
        assert row is not None
        assert row[0] == bad.status
        assert bad.sentence in row[1]


def test_the_good_documents_went_through_and_are_found(mixed: Mixed) -> None:
    statuses = {name: mixed.rows[str(mixed.folder / name)][0] for name in GOOD}
    assert statuses == dict.fromkeys(GOOD, "ready")
    assert mixed.found["hits"][0]["name"] == "bees.md"


def test_nothing_was_paid_for_bad_files_and_the_exit_code_tells_of_them(mixed: Mixed) -> None:
    assert mixed.parses == 1  # tides.pdf
    assert mixed.embeddings == len(GOOD)
    assert mixed.report["complete"] is False
    assert mixed.told.returncode == 1
    assert f"{len(GOOD)} of {len(GOOD) + len(BAD)} ready" in mixed.told.stdout
    assert "Traceback" not in mixed.told.stderr


async def test_paths_that_are_no_files_are_refused_and_the_others_go_through(
    mill: Gristmill, tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text("Otters float on their backs.")
    os.mkfifo(tmp_path / "pipe.pdf")
    (tmp_path / "loop.pdf").symlink_to(tmp_path / "loop.pdf")
    sentences = {
        tmp_path / "missing.pdf": "missing.pdf does not exist",
        tmp_path / "good.txt" / "below.pdf": "below.pdf does not exist",
        tmp_path / "pipe.pdf": "is a pipe, a socket or a device",
        tmp_path / "loop.pdf": "cannot be read: Too many levels of symbolic links",
        tmp_path / ("n" * 300 + ".pdf"): "cannot be read: File name too long",
        tmp_path / "nul\0.pdf": "cannot be the path of a file",
    }
    report = await mill.ingest(*sentences, tmp_path / "good.txt")
    refused = [entry for entry in report.entries if entry.outcome == "refused"]
    for entry, sentence in zip(refused, sentences.values(), strict=True):
        assert sentence in (entry.error or "")
        assert entry.advice
    assert [document.status for document in report.documents] == [DocumentStatus.READY]


async def test_files_with_odd_names_are_taken_in_and_found(
    mill: Gristmill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [
        b"~$draft.txt",
        b"-rf.txt",
        b"two\nlines.txt",
        b"[red]x.txt",
        b"\xff\xfe.txt",
        b" .txt",
    ]
    names += ["\u202etxt.exe.txt".encode(), "naïve 🐝.txt".encode(), b"CAPS.TXT", b"%s{0}.txt"]
    paths = [Path(os.fsdecode(name)) for name in names]
    for number, path in enumerate(paths):
        path.write_text(f"Oddity number {number}.")
    report = await mill.ingest(*paths)
    assert report.is_complete
    assert len(report.documents) == len(names)
    hits = (await mill.search("oddity number", limit=20)).hits
    assert len({hit.document_id for hit in hits}) == len(names)


async def test_a_document_without_any_text_is_incomplete_and_says_so(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    report = await mill.ingest(write_pdf("blank.pdf", ""), write_pdf("good.pdf", "Foxes bark."))
    blank, good = report.documents
    assert blank.status is DocumentStatus.READY_INCOMPLETE
    assert [p.problem for p in (await mill.show(blank.id)).incomplete] == ["empty"]
    assert good.status is DocumentStatus.READY
    assert simulator.calls("openai.embeddings.create") == 1


async def test_a_question_with_lone_surrogates_is_answered(mill: Gristmill, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Otters float on their backs.")
    await mill.ingest(tmp_path / "good.txt")
    answer = await mill.search("otters \ud800 float \udcff")
    assert answer.hits[0].name == "good.txt"


async def test_an_empty_name_is_refused_and_does_not_stand_for_the_present_folder(
    mill: Gristmill,
) -> None:
    with pytest.raises(InvalidArgument, match=r'called "\."'):
        await mill.ingest("")
    assert await mill.documents() == []


@pytest.mark.parametrize("name", ["\udcff", "nul\0", "  "])
async def test_a_collection_with_an_impossible_name_is_refused_in_a_sentence(
    mill: Gristmill, tmp_path: Path, name: str
) -> None:
    (tmp_path / "good.txt").write_text("Otters float on their backs.")
    with pytest.raises(ValueError, match="name of a collection"):
        await mill.ingest(tmp_path / "good.txt", collection=name)
    assert await mill.documents() == []


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that other users of the machine can reach."""
    for folder in (tmp_path, *tmp_path.parents):
        if stat.S_IMODE(folder.stat().st_mode) == 0o700:  # as pytest makes them
            folder.chmod(0o755)
    return tmp_path


def look_at_all(settings: Settings, *paths: Path) -> str:
    """A line for each file below the paths: refused and why, or taken."""

    async def look() -> list[str]:
        most = settings.max_file_bytes
        looked = [await look_at(path, most, is_named=named) for path, named in walk(paths)]
        return [getattr(each, "error", None) or f"{each.name} taken" for each in looked]

    return "\n".join(asyncio.run(look()))


@root_only
def test_files_and_folders_that_this_user_may_not_read_are_named_and_the_others_taken(
    settings: Settings, shared: Path
) -> None:
    corpus = shared / "corpus"
    for folder in ("open", "closed"):
        (corpus / folder).mkdir(parents=True)
        (corpus / folder / "herons.txt").write_text(f"Herons fly, in the {folder} folder.")
    (corpus / "closed").chmod(0o700)
    (corpus / "private.txt").write_text("Not for everybody.")
    (corpus / "private.txt").chmod(0o600)
    below = corpus / "closed" / "herons.txt"
    assert as_user(SOMEBODY, lambda: look_at_all(settings, corpus, below)).splitlines() == [
        "private.txt may not be read by this user.",
        "herons.txt taken",
        "The folder closed may not be listed by this user.",
        "herons.txt may not be read by this user.",
    ]


@root_only
@pytest.mark.usefixtures("shared")
def test_a_home_that_cannot_be_written_is_told_in_a_sentence(settings: Settings) -> None:
    settings.home.mkdir(mode=0o755)
    said = as_user(SOMEBODY, lambda: System(settings).host)
    assert said.startswith(f"Misconfigured: This user may not write to {settings.home}")
    assert "Set GRISTMILL_HOME" in said
    assert list(settings.home.iterdir()) == []


@root_only
def test_a_second_user_is_kept_out_of_a_home_and_its_owner_goes_on(
    simulator: SimulatorControl, shared: Path, folder: Path, home: Path
) -> None:
    (shared / "good.txt").write_text("Otters float on their backs.")
    folder.chmod(0o755)
    variables = {"PATH": os.environ["PATH"], "GRISTMILL_HOME": str(home)}
    variables |= {"GRISTMILL_SIMULATOR_URL": simulator.base_url}
    assert gristmill(variables, "ingest", shared / "good.txt").returncode == 0
    home.chmod(0o777)

    async def enter() -> str:
        async with Gristmill(load_settings(variables, shared)):
            return "let in"

    said = as_user(SOMEBODY, lambda: asyncio.run(enter()))
    assert said.startswith("DatabaseUnavailable")
    assert "belongs to another user" in said
    assert "good.txt" in gristmill(variables, "search", "otters").stdout


@root_only
def test_a_full_disk_is_told_in_a_sentence_and_after_making_room_all_goes_through(
    server: str, simulator: SimulatorControl, shared: Path
) -> None:
    home = shared / "disk"
    home.mkdir()
    (shared / "good.txt").write_text("Otters float on their backs.")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", home]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a small disk here")
    try:
        (home / "ballast").write_bytes(bytes(64 * 1024))
        variables = environment(server, home, simulator.base_url)
        told = gristmill(variables, "ingest", shared / "good.txt", "-c", "disk")
        assert "The disk is full" in told.stderr
        assert "Traceback" not in told.stderr
        (home / "ballast").unlink()
        assert gristmill(variables, "ingest", shared / "good.txt", "-c", "disk").returncode == 0
    finally:
        subprocess.run(["umount", home], check=True)


async def test_many_runs_with_nothing_to_do_come_back_at_once(
    mill: Gristmill, tmp_path: Path
) -> None:
    """A worker told to stop while it starts must not take that for an outage."""
    (tmp_path / "good.txt").write_text("Otters float on their backs.")
    await mill.ingest(tmp_path / "good.txt")
    for _ in range(10):
        report = await mill.ingest(tmp_path / "good.txt")
        assert report.entries[0].outcome == "unchanged"
