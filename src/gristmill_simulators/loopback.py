"""Whether an address, or a request, is of this machine. Names are not looked up."""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

_REFUSAL = (
    "These simulators answer this machine only, and {what} is another's: any page that is open in"
    " a browser could read and steer them, as their keys are public. If that is what you want,"
    " from this machine: curl {where}/_simulator/settings -d '{{\"allow_foreign_pages\": true}}'"
)


def is_loopback(url: str) -> bool:
    """Does the host of `url`, as written, mean this machine?"""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return is_localhost(host)


def is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def foreign(headers: Iterable[tuple[bytes, bytes]], where: str) -> str | None:
    """Why a request is refused: a page of another host sent it. None if nothing says so.

    A browser names the page's origin with everything that could change something, and with what the
    page may read; and under the name of a host that was made to point here (DNS rebinding) the host
    is not ours. Other programs name neither, or ours. `where` is the simulators' own address.
    """
    for name, value in headers:
        said = value.decode("latin-1")
        if name == b"host" and not is_loopback(f"//{said}"):
            return _REFUSAL.format(what=f"the host name {said!r}", where=where)
        if name == b"origin" and not is_loopback(said):
            return _REFUSAL.format(what=f"the page of {said!r}", where=where)
    return None
