"""Addresses and keys as people write them: which may be used, and how they are shown.

Each check hands back the value, tidied, or raises `ValueError` with a sentence that holds nothing
secret.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Annotated, Final
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, SecretStr

from gristmill.telemetry.masking import know

TRANSACTION_PORT: Final = "6543"
SESSION_PORT: Final = "5432"
LOOPBACK: Final = {"127.0.0.1", "localhost", "::1"}


def base_url(url: str) -> str:
    """A service's address without trailing slash; plain http only inside a private network."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("It cannot be read as an address.") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("It does not begin with https:// and a host.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("It holds more than scheme, host, port and path.")
    if parts.scheme == "http" and not _is_private(host):
        raise ValueError("Over http:// the key would cross the internet unencrypted.")
    return url.rstrip("/")


def loopback_url(url: str) -> str:
    """The address of a server on this machine, `http://127.0.0.1:9000`."""
    parts = urlsplit(base_url(url))
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise ValueError("It is not an http:// address of this machine.")
    if parts.path.strip("/"):
        raise ValueError("It has a path, and the simulator's own address has none.")
    return url.rstrip("/")


def api_key(key: str) -> str:
    """A key that can be sent in a header: printable ASCII without blanks."""
    if not re.fullmatch(r"[!-~]+", key):
        raise ValueError("It holds blanks or characters that no key has.")
    return key


def database_url(url: str) -> str:
    """A Postgres address whose connections keep their session.

    Supabase's pooler answers on port 6543 in transaction mode, which forgets `SET`, `LISTEN` and
    advisory locks between transactions, and on 5432 in session mode.
    """
    parts = _libpq_parts(url)
    ports = parts.get("port", "").split(",")
    if TRANSACTION_PORT in ports:
        kept = [SESSION_PORT if port == TRANSACTION_PORT else port for port in ports]
        raise ValueError(
            "Port 6543 is Supabase's transaction mode, where session settings, locks and "
            "notifications are lost. Session mode is port 5432 of the same host: "
            + _shown({**parts, "port": ",".join(kept)})
        )
    return url


def mask_database_url(url: str) -> str:
    """The address with `***` for its password, and without its parameters."""
    return _shown(_libpq_parts(url))


def _libpq_parts(url: str) -> dict[str, str]:
    # Here, because it costs 0.1 s that only those with a server of their own need to spend.
    from psycopg import ProgrammingError  # noqa: PLC0415 — see above
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 — see above

    if not url.startswith(("postgres://", "postgresql://")):
        raise ValueError("It does not begin with postgresql://.")
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except ProgrammingError:
        parts = {}  # the error repeats parts of the address
    if not parts or not _is_sound(parts):
        raise ValueError(
            "It cannot be read. In a password, write / as %2F, @ as %40, : as %3A, % as %25."
        )
    return parts


def _is_sound(parts: Mapping[str, str]) -> bool:
    """Whether no piece of a badly written password has become a host, a port or a name."""
    shown = "".join(parts.get(key, "") for key in ("host", "user", "dbname"))
    return "@" not in shown and re.fullmatch(r"[\d,]*", parts.get("port", "")) is not None


def _shown(parts: Mapping[str, str]) -> str:
    login = quote(parts.get("user", "")) + (":***" if "password" in parts else "")
    pairs = zip_longest(parts.get("host", "").split(","), parts.get("port", "").split(","))
    hosts = ",".join(_host(host or "") + (f":{port}" if port else "") for host, port in pairs)
    return f"postgresql://{login}{'@' if login else ''}{hosts}/{quote(parts.get('dbname', ''))}"


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe="")


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host  # `localhost`, and the names inside a container network


def _secret(check: Callable[[str], str]) -> AfterValidator:
    def checked(secret: SecretStr) -> SecretStr:
        text = check(secret.get_secret_value())
        know(text)
        return SecretStr(text)

    return AfterValidator(checked)


Key = Annotated[SecretStr, _secret(api_key)]
Address = Annotated[str, AfterValidator(base_url)]
LoopbackAddress = Annotated[str, AfterValidator(loopback_url)]
DatabaseUrl = Annotated[SecretStr, _secret(database_url)]
