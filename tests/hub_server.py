"""A stand-in for the Hub on 127.0.0.1, for the tests of what slimnb loads from there.

It speaks the read-only part of the Hub's protocol that `datasets` and `huggingface_hub` use, REPO being
`datasets/OWNER/NAME` for a data set and `OWNER/NAME` for a model (`models/OWNER/NAME` behind /api):

    GET       /api/REPO, /api/REPO/revision/REV      commit and list of files
    GET       /api/REPO/tree/REV[/FOLDER]            entries of a folder, all below it with ?recursive=true
    POST      /api/REPO/paths-info/REV               entries by path
    HEAD, GET /REPO/resolve/REV/PATH                 a file, whole or by Range; large files redirect to a second host
    HEAD, GET /cdn/OID                               that second host's side

What is not there is a 404 with the Hub's X-Error-Code. There is one commit a repository; accounts, Xet and the data
set viewer are left out, as are pages of long lists. A server can also misbehave, see `Mode`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Mode = Literal["right", "error", "garbage", "not_http", "hang"]
"""error: 500 to everything. garbage: 200 and bytes that mean nothing, as behind a hotel's login page. not_http: bytes
that are no answer at all. hang: no answer until the server stops, or for HANG seconds."""

HANG = 60.0
GARBAGE = bytes(range(256)) * 4
LARGE = (".parquet", ".safetensors")
"""What the Hub keeps in Git LFS and serves from another host."""

_API = re.compile(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
_RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Repository:
    """Files by path, under one commit."""

    def __init__(self, files: Mapping[str, bytes]):
        self.files = dict(files)
        self.oids = {path: hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                     for path, content in files.items()}  # fmt: skip
        self.commit = hashlib.sha1(json.dumps(self.oids, sort_keys=True).encode()).hexdigest()

    def etag(self, path: str) -> str:
        return hashlib.sha256(self.files[path]).hexdigest() if path.endswith(LARGE) else self.oids[path]

    def entry(self, path: str) -> dict[str, Any] | None:
        """A file or folder as the API describes it; None where there is neither."""
        if path in self.files:
            size = len(self.files[path])
            entry = {"type": "file", "path": path, "oid": self.oids[path], "size": size}
            return entry | ({"lfs": {"oid": self.etag(path), "size": size, "pointerSize": 130}} if path.endswith(LARGE)
                            else {})  # fmt: skip
        if any(name.startswith(path + "/") for name in self.files):
            return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
        return None

    def tree(self, folder: str, recursive: bool) -> list[dict[str, Any]] | None:
        """The entries below a folder; None where there is no such folder."""
        start = folder + "/" if folder else ""
        below = [path.removeprefix(start).split("/") for path in self.files if path.startswith(start)]
        if not below:
            return None
        depths = [range(1, len(parts) + 1 if recursive else 2) for parts in below]
        paths = {start + "/".join(parts[:n]) for parts, ns in zip(below, depths, strict=True) for n in ns}
        return [entry for path in sorted(paths) if (entry := self.entry(path)) is not None]


class HubServer:
    """Serves repositories by name: `datasets/OWNER/NAME` or `OWNER/NAME`, each with its files' bytes by path."""

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]], mode: Mode = "right"):
        self.repositories = {name: Repository(files) for name, files in repositories.items()}
        self.mode: Mode = mode
        self.requests: list[str] = []
        """The request lines so far, wrong ones too."""
        self.stopping = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.hub = self  # type: ignore[attr-defined]
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def start(self) -> Iterator[HubServer]:
        """Answer within the block; after it, connections are refused."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as on the Hub
    timeout = 1  # a kept connection that nobody uses does not delay the end

    @property
    def hub(self) -> HubServer:
        return self.server.hub  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to standard error."""

    def parse_request(self) -> bool:
        understood = super().parse_request()
        self.hub.requests.append(self.requestline)
        return understood

    def handle_one_request(self) -> None:
        super().handle_one_request()

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.hub.mode == "right":
            self._answer_rightly(body)
        elif self.hub.mode == "error":
            self._answer(500, b"Internal Server Error")
        elif self.hub.mode == "garbage":
            self._answer(200, GARBAGE)
        else:
            if self.hub.mode == "hang":
                self.hub.stopping.wait(HANG)
            else:
                self.wfile.write(GARBAGE)
            self.close_connection = True

    do_HEAD = do_POST = do_GET

    def _answer_rightly(self, body: bytes) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if match := _API.fullmatch(path):
            kind, name, what, revision, rest = match.groups()
            repository = self._repository(kind == "datasets", name, revision)
            if repository is not None:
                self._api(repository, name, what, rest or "", parse_qs(url.query), body)
        elif match := _RESOLVE.fullmatch(path):
            kind, name, revision, file = match.groups()
            repository = self._repository(kind == "datasets", name, revision)
            if repository is not None:
                self._resolve(repository, file)
        elif path.startswith("/cdn/"):
            for repository in self.hub.repositories.values():
                for name, content in repository.files.items():
                    if repository.etag(name) == path.removeprefix("/cdn/"):
                        return self._file(content, {"ETag": f'"{repository.etag(name)}"'})
            self._answer(404)
        else:
            self._answer(404)

    def _repository(self, is_data: bool, name: str, revision: str | None) -> Repository | None:
        """The repository at the revision; None once a 404 is sent."""
        repository = self.hub.repositories.get(f"datasets/{name}" if is_data else name)
        if repository is None:
            self._missing("RepoNotFound", "Repository not found")
        elif revision not in (None, "main", repository.commit):
            self._missing("RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repository
        return None

    def _api(
        self, repository: Repository, name: str, what: str | None, path: str, query: dict[str, list[str]], body: bytes
    ) -> None:
        document: Any
        if what == "tree":
            document = repository.tree(path, query.get("recursive", ["false"])[0].lower() == "true")
            if document is None:
                return self._missing("EntryNotFound", f"{path} does not exist on main")
        elif what == "paths-info":
            wanted = parse_qs(body.decode()).get("paths", [])
            if body.startswith(b"{"):
                wanted = json.loads(body)["paths"]
            document = [entry for path in wanted if (entry := repository.entry(path)) is not None]
        else:
            files = [{"rfilename": path} for path in sorted(repository.files)]
            document = {"id": name, "sha": repository.commit, "private": False, "gated": False, "disabled": False,
                        "downloads": 0, "likes": 0, "tags": [], "siblings": files}  # fmt: skip
        return self._answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repository: Repository, path: str) -> None:
        headers = {"X-Repo-Commit": repository.commit}
        if path not in repository.files:
            return self._missing("EntryNotFound", "Entry not found", headers)
        content, etag = repository.files[path], f'"{repository.etag(path)}"'
        if not path.endswith(LARGE):
            return self._file(content, headers | {"ETag": etag})
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": etag}
        place = f"http://localhost:{self.hub.port}/cdn/{repository.etag(path)}"
        return self._answer(302, b"", headers | linked | {"Location": place})

    def _file(self, content: bytes, headers: dict[str, str]) -> None:
        headers = headers | {"Accept-Ranges": "bytes"}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if span is None:
            return self._answer(200, content, headers)
        first, last = int(span[1]), min(int(span[2] or len(content)), len(content) - 1)
        if first > last:
            return self._answer(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self._answer(206, content[first : last + 1], headers)

    def _missing(self, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        error = {"X-Error-Code": code, "X-Error-Message": message}
        self._answer(404, json.dumps({"error": message}).encode(), {**(headers or {}), **error})

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
