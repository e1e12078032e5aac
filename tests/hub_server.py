"""A stand-in for the Hub on 127.0.0.1, for the tests of what slimnb loads from there.

It speaks the reading part of the Hub's protocol that `datasets` 5 and `huggingface_hub` 2 use, REPO being OWNER/NAME:

    GET       /api/{models,datasets}/REPO[/revision/REV]        the commit, and the names of the files
    GET       /api/{models,datasets}/REPO/tree/REV[/FOLDER]     entries of a folder; all below it with ?recursive=true
    HEAD, GET /[datasets/]REPO/resolve/REV/PATH                 a file; one in Git LFS redirects to another host
    GET       /cdn/HASH                                         that host's side

What is not there is a 404 with the Hub's X-Error-Code. A repository has one commit. Accounts, uploads, Xet, parts of
files and the data set viewer are left out. A server can also misbehave, see `Mode`.
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
"""error: 500 to everything. garbage: 200 and bytes without meaning, as from behind a hotel's login page. not_http:
bytes that are no answer at all. hang: no answer until the server stops, or for HANG seconds."""

HANG = 60.0
GARBAGE = bytes(range(256)) * 4

_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?")
_RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Repository:
    """Files by path, under one commit."""

    def __init__(self, files: Mapping[str, bytes]):
        self.files = dict(files)
        self.hashes = {path: self._hash(path) for path in files}
        self.commit = hashlib.sha1(json.dumps(self.hashes, sort_keys=True).encode()).hexdigest()

    @staticmethod
    def in_lfs(path: str) -> bool:
        return path.endswith((".parquet", ".safetensors", ".bin"))

    def _hash(self, path: str) -> str:
        """SHA-256 of a file in Git LFS, Git's own hash of any other: the Hub's ETag."""
        content = self.files[path]
        if self.in_lfs(path):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def tree(self, folder: str, recursive: bool) -> list[dict[str, Any]] | None:
        """The entries below a folder, as the API describes them; None where there is no such folder."""
        start = folder + "/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for file, content in self.files.items():
            if not file.startswith(start):
                continue
            parts = file.removeprefix(start).split("/")
            for depth in range(1, len(parts) + 1 if recursive else 2):
                path = start + "/".join(parts[:depth])
                entry = {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
                if path == file:
                    entry |= {"type": "file", "size": len(content), "oid": self.hashes[file]}
                    if self.in_lfs(file):
                        entry["lfs"] = {"oid": self.hashes[file], "size": len(content), "pointerSize": 130}
                entries[path] = entry
        return list(entries.values()) or None


class HubServer:
    """Serves repositories, each a mapping from path to content, by name: OWNER/NAME or datasets/OWNER/NAME."""

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]], mode: Mode = "right"):
        self.repositories = {name: Repository(files) for name, files in repositories.items()}
        self.mode: Mode = mode
        self.requests: list[str] = []
        """The first line of every request so far."""
        self.stopping = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.hub = self
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


class _Http(ThreadingHTTPServer):
    hub: HubServer
    request_queue_size = 64  # downloads come many at a time


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"  # connections are kept open, as the Hub does

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to standard error."""

    def parse_request(self) -> bool:
        understood = super().parse_request()
        self.server.hub.requests.append(self.requestline)
        return understood

    def do_GET(self) -> None:
        mode = self.server.hub.mode
        if mode == "right":
            self._answer_rightly()
        elif mode == "error":
            self._answer(500, b"Internal Server Error")
        elif mode == "garbage":
            self._answer(200, GARBAGE)
        else:
            if mode == "hang":
                self.server.hub.stopping.wait(HANG)
            else:
                self.wfile.write(GARBAGE)
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815

    def _answer_rightly(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if match := _API.fullmatch(path):
            kind, name, what, revision, folder = match.groups()
            if repository := self._find(kind, name, revision):
                recursive = parse_qs(url.query).get("recursive", ["false"])[0].lower() == "true"
                self._describe(name, repository, what, folder or "", recursive)
        elif match := _RESOLVE.fullmatch(path):
            kind, name, revision, file = match.groups()
            if repository := self._find(kind, name, revision):
                self._resolve(repository, file)
        else:
            hosted = {f"/cdn/{one.hashes[file]}": content for one in self.server.hub.repositories.values()
                      for file, content in one.files.items()}  # fmt: skip
            self._answer(200 if path in hosted else 404, hosted.get(path, b""))

    def _find(self, kind: str | None, name: str, revision: str | None) -> Repository | None:
        """The repository at the revision; None once a 404 is sent."""
        repository = self.server.hub.repositories.get(f"datasets/{name}" if kind == "datasets" else name)
        if repository is None:
            self._missing("RepoNotFound")
        elif revision not in (None, "main", repository.commit):
            self._missing("RevisionNotFound")
        else:
            return repository
        return None

    def _describe(self, name: str, repository: Repository, what: str | None, folder: str, recursive: bool) -> None:
        document: Any
        if what == "tree":
            document = repository.tree(folder, recursive)
            if document is None:
                return self._missing("EntryNotFound")
        else:
            files = [{"rfilename": path} for path in repository.files]
            document = {"id": name, "sha": repository.commit, "private": False, "gated": False, "disabled": False,
                        "downloads": 0, "likes": 0, "tags": [], "siblings": files}  # fmt: skip
        return self._answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repository: Repository, path: str) -> None:
        headers = {"X-Repo-Commit": repository.commit}
        if path not in repository.files:
            return self._missing("EntryNotFound", headers)
        content, etag = repository.files[path], f'"{repository.hashes[path]}"'
        if not repository.in_lfs(path):
            return self._answer(200, content, headers | {"ETag": etag})
        # A name that is not the endpoint's, so that the client sees it leave for another host.
        place = f"http://localhost:{self.server.hub.port}/cdn/{repository.hashes[path]}"
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": etag, "Location": place}
        return self._answer(302, b"", headers | linked)

    def _missing(self, code: str, headers: Mapping[str, str] | None = None) -> None:
        self._answer(404, b"{}", {"X-Error-Code": code, "X-Error-Message": code, **(headers or {})})

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
