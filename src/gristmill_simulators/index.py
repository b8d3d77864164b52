"""`GET /_simulator`: what there is, as JSON for programs and as a page for a browser."""

import re
from collections.abc import Iterable
from html import escape

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gristmill_simulators import __version__, environment

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Gristmill simulators</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}}
td{{padding:.1em 1em .1em 0;vertical-align:top}}pre{{background:#8881;padding:1em;overflow:auto}}
</style></head><body>
<h1>Gristmill simulators {version}</h1>
<p>LlamaCloud, OpenAI and Supabase Storage for the official clients. Nothing here is real.</p>
<h2>Vendors</h2><table>{vendors}</table>
<h2>Control plane</h2><table>{routes}</table>
<h2>Variables for a client</h2><pre>{exports}</pre>
</body></html>
"""


def base_url(request: Request) -> str:
    """The address by which this client reaches the simulators; private ones have a path."""
    root = str(request.scope.get("root_path", "")).removesuffix("/_simulator")
    return f"{request.url.scheme}://{request.url.netloc}{root}"


def page(request: Request, table: Iterable[tuple[str, str, str]]) -> Response:
    """The index of `table`: method, path, one line."""
    address = base_url(request)
    vendors = {
        "llamacloud": environment.llama_cloud_base_url(address),
        "openai": environment.openai_base_url(address),
        "supabase": environment.supabase_url(address),
    }
    headers = {"vary": "accept"}
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_html(address, vendors, table), headers=headers)
    rows = [{"method": method, "path": path, "does": does} for method, path, does in table]
    value = {
        "service": "gristmill-simulators",
        "version": __version__,
        "vendors": vendors,
        "environment": environment.environment(address),
        "routes": rows,
    }
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return Response(body, 200, headers, media_type="application/json")


def _html(address: str, vendors: dict[str, str], table: Iterable[tuple[str, str, str]]) -> str:
    return _PAGE.format(
        version=escape(__version__),
        vendors=_rows((name, f"<code>{escape(at)}</code>") for name, at in vendors.items()),
        routes=_rows((_link(method, path), _prose(does)) for method, path, does in table),
        exports=escape(environment.as_shell(address)),
    )


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<tr><td>{left}</td><td>{right}</td></tr>" for left, right in rows)


def _prose(does: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escape(does))


def _link(method: str, path: str) -> str:
    shown = f"<code>{method} {escape(path)}</code>"
    return f'<a href="{escape(path)}">{shown}</a>' if method == "GET" else shown
