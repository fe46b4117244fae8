"""A web server on this machine that serves files as data hosts do: by ranges, with a mark of their version, and with every fault."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import md5


class FileServer(http.server.BaseHTTPRequestHandler):
    """Files by path. Class attributes, set on the subclass that :func:`serve` makes, are the faults.

    Attributes
    ----------
    files : path, with its slash, to content.
    moved : path to the address that a redirect names.
    breaks_after : bytes after which each answer ends; none where it is 0.
    pause : seconds between blocks of 64 kB.
    marks : whether answers have an ETag. ranges : whether ranges are honoured. compares : whether If-Range is.
    asked : (path, Range) of every request.
    """

    files: Mapping[str, bytes] = {}
    moved: Mapping[str, str] = {}
    breaks_after, pause, marks, ranges, compares = 0, 0.0, True, True, True
    asked: list[tuple[str, str | None]] = []

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in self.moved:
            self.send_response(302)
            self.send_header("Location", self.moved[path])
            self.end_headers()
            return
        content = self.files.get(path)
        if content is None:
            self.send_error(404)
            return
        etag = f'"{md5(content).hexdigest()}"'
        marked = self.headers.get("If-Range")
        wanted = self.headers.get("Range") if self.ranges and (marked == etag or (marked and not self.compares)) else None
        self.asked.append((path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if self.marks:
            self.send_header("ETag", etag)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = min(len(content), start + self.breaks_after) if self.breaks_after else len(content)
        for place in range(start, stop, 2**16):
            self.wfile.write(content[place : min(stop, place + 2**16)])
            if self.pause:
                time.sleep(self.pause)


@contextmanager
def serve(files: Mapping[str, bytes]) -> Iterator[type[FileServer]]:
    """Serve ``files`` until the block ends; ``address`` of what it gives is that of the server, without a slash at the end."""
    kind = type("Server", (FileServer,), {"files": dict(files), "moved": {}, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        server.handle_error = lambda *about: None  # a client that stops is what many tests are about
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        kind.address = f"http://127.0.0.1:{server.server_port}"
        yield kind
        server.shutdown()
