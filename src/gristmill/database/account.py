"""Which operating system user runs the server. PostgreSQL refuses to run as root.

An ordinary user's server runs as that user. Root's server runs as `SERVER_ID`, a user and group
id without a name: no user is added to the machine, and nothing else runs under it (`nobody`, the
usual choice, is shared, and whoever shares it reads the data). `initdb` alone insists on a user
with a name, so root's `initdb` runs as `nobody` and its files are handed over afterwards.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gristmill.errors import DatabaseUnavailable

# Free by the Linux ranges of systemd's UIDS-GIDS.md (60578 to 61183 are unused), above what
# useradd gives to people, and below 65536, which is all that many containers map.
SERVER_ID: Final = 60999

# Nothing of the user's environment reaches the server: it may hold keys, or settings of libpq.
ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group id for child processes; `switch` when they are not the caller's own."""

    uid: int
    gid: int
    switch: bool

    def privileges(self) -> dict[str, Any]:
        """Arguments for `subprocess`."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Gives `path` itself, never what a link points to, to this account."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def own_tree(self, folder: Path) -> None:
        if not self.switch:
            return
        self.own(folder)
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                self.own(Path(parent, name))


def server_account() -> Account:
    """Who runs the server."""
    if os.geteuid() == 0:
        return Account(SERVER_ID, SERVER_ID, switch=True)
    return Account(os.geteuid(), os.getegid(), switch=False)


def initdb_account() -> Account:
    """Who makes the data folder: the server's account, or `nobody` for root.

    Raises:
        DatabaseUnavailable: that user has no name on this machine.
    """
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            return Account(nobody.pw_uid, nobody.pw_gid, switch=True)
        pwd.getpwuid(os.geteuid())
    except KeyError:
        who = "The user nobody" if os.geteuid() == 0 else f"User id {os.geteuid()}"
        raise DatabaseUnavailable(
            f"{who} is not in this machine's list of users; a new database needs that.",
            advice="Add it to /etc/passwd, or set DATABASE_URL to a Postgres with pgvector.",
        ) from None
    return server_account()
