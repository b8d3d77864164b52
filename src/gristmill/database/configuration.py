"""How the embedded server is set up, and its bounded log."""

import os
from pathlib import Path
from typing import Final

from gristmill.database.cluster import Cluster
from gristmill.database.sockets import make_socket_folder

KEPT_LOGS: Final = 4  # of 1 MB each

# Sized for a laptop. Errors of statements reach their caller and would put document text into
# the log, so it has only what the server says about itself.
SETTINGS: Final = """\
listen_addresses = ''
max_connections = 100
shared_buffers = 128MB
work_mem = 16MB
maintenance_work_mem = 128MB
effective_cache_size = 1GB
random_page_cost = 1.1
max_worker_processes = 4
max_parallel_workers = 2
max_parallel_maintenance_workers = 2
jit = off
synchronous_commit = on
wal_level = minimal
max_wal_senders = 0
min_wal_size = 64MB
max_wal_size = 512MB
checkpoint_timeout = 15min
password_encryption = scram-sha-256
timezone = UTC
log_timezone = UTC
lc_messages = C
default_text_search_config = 'pg_catalog.english'
logging_collector = on
log_filename = 'server-%Y%m%d-%H%M%S.log'
log_rotation_age = 0
log_rotation_size = 1MB
log_min_messages = log
log_min_error_statement = panic
log_checkpoints = off
log_autovacuum_min_duration = -1
"""

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 — a mount point, not a temporary file
_ENOUGH_SHARED_MEMORY: Final = 512 * 1024**2


def configure(cluster: Cluster) -> None:
    """Writes the settings for one start and makes the folders that the server wants."""
    memory = "posix" if _has_shared_memory() else "mmap"
    settings = f"{SETTINGS}dynamic_shared_memory_type = {memory}\n"
    _write(cluster.folder / "server.conf", settings)
    _write(cluster.folder / "hba.conf", "local all all scram-sha-256\n")
    _write(cluster.folder / "ident.conf", "")
    log = cluster.folder / "log"
    log.mkdir(mode=0o700, exist_ok=True)
    cluster.account.own(log)
    make_socket_folder(cluster.folder, cluster.account)


def arguments(cluster: Cluster, folder: str) -> list[str]:
    """The server's arguments, where it knows the cluster's folder as `folder`."""
    sockets = cluster.sockets
    near = sockets.parent == cluster.folder
    values = {
        "config_file": f"{folder}/server.conf",
        "hba_file": f"{folder}/hba.conf",
        "ident_file": f"{folder}/ident.conf",
        "log_directory": f"{folder}/log",
        "unix_socket_directories": f"{folder}/socket" if near else str(sockets),
        "cluster_name": cluster.tag,
    }
    pairs = [("-c", f"{name}={value}") for name, value in values.items()]
    return ["-D", f"{folder}/data", *(word for pair in pairs for word in pair)]


def prune_logs(cluster: Cluster) -> None:
    """Keeps the newest `KEPT_LOGS` files. PostgreSQL bounds a file's size, not their number."""
    for old in _logs(cluster)[:-KEPT_LOGS]:
        old.unlink(missing_ok=True)


def last_words(cluster: Cluster, lines: int = 5) -> str:
    """What the server said last since it was started."""
    start = cluster.folder / "start.log"
    since = start.stat().st_mtime_ns
    later = [log for log in _logs(cluster) if log.stat().st_mtime_ns >= since]
    text = "".join(log.read_text(errors="replace") for log in (start, *later))
    return "\n".join(text.strip().splitlines()[-lines:])


def _logs(cluster: Cluster) -> list[Path]:
    return sorted((cluster.folder / "log").glob("*.log"))


def _has_shared_memory() -> bool:
    """Parallel index builds need as much as `maintenance_work_mem`; Docker gives 64 MB."""
    if not _SHARED_MEMORY.is_dir():
        return True  # macOS: not limited by a mount
    status = os.statvfs(_SHARED_MEMORY)
    return status.f_bavail * status.f_frsize >= _ENOUGH_SHARED_MEMORY


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)  # the folder around it decides who gets here
