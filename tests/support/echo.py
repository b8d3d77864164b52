"""A server that says whatever it is told of a request, as a proxy may that helps to find faults."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        said = self._said() + body[:200].decode("utf-8", "replace")
        status = self.server.status
        shaped = {"statusCode": str(status), "error": {"message": said}, "code": "Echo"}
        text = json.dumps({**shaped, "message": said, "detail": said}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _said(self) -> str:
        secret = ("authorization", "apikey")  # first, as an error's words are cut
        named = [f"{name}: {value}" for name, value in self.headers.items()]
        named.sort(key=lambda line: not line.lower().startswith(secret))
        bare = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        return f"{bare} {quote(bare)} ({bare}) " + ", ".join(named)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815 — the library's names

    def log_message(self, *_: object) -> None:
        pass


class Echo(ThreadingHTTPServer):
    """Answers everything with `status`."""

    daemon_threads = True
    status = 401

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def echo() -> Iterator[Echo]:
    server = Echo(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
