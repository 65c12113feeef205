"""A stand-in for the Hugging Face hub: the requests that its client makes to read and write repositories."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

OWNER, WRITER, READER = "me", "hf_writer", "hf_reader"
"""Who has repositories here, a token that may write them, and one that may not."""

LARGE = (".parquet", ".safetensors")
"""Files that the hub takes by the protocol for large ones."""

COMMIT = "0" * 40


class Hub(ThreadingHTTPServer):
    """Its repositories, as plain dictionaries of files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.repos: dict[str, dict[str, bytes]] = {}
        """By kind and name, ``datasets/me/board``, the content of each file."""
        self.large: dict[str, bytes] = {}
        self.commits = 0
        self.private: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub in a thread of this process."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class Answers(BaseHTTPRequestHandler):
    """Its answers."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif (token := self.headers.get("Authorization", "")) not in (f"Bearer {WRITER}", f"Bearer {READER}"):
            self._json({"error": "Invalid credentials in Authorization header"}, 401)
        elif token == f"Bearer {READER}":
            self._json({"error": "Forbidden"}, 403)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path.endswith("/objects/batch"):
            objects = json.loads(body)["objects"]
            for each in objects:
                each["actions"] = {"upload": {"href": f"{self.server.url}/large/{each['oid']}"}}
            self._json({"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)/(preupload|commit)/main", path):
            if found[1] not in self.server.repos:
                self._absent()
            elif found[2] == "preupload":
                files = json.loads(body)["files"]
                self._json({"files": [self._mode(each["path"]) for each in files]})
            else:
                self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._absent()

    def do_PUT(self) -> None:
        body = self._body()
        digest = hashlib.sha256(body).hexdigest()
        assert self.path == f"/large/{digest}"
        self.server.large[digest] = body
        self._json({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/(\w+/[^/]+/[^/]+)/tree/main/?", path):
            files = self.server.repos.get(found[1])
            if files is None:
                self._absent()
            else:
                listed = [
                    {"type": "file", "path": name, "size": len(f), "oid": ""} for name, f in files.items()
                ]
                self._json(listed)
        elif (found := re.fullmatch(r"/(datasets/[^/]+/[^/]+)/resolve/(?:main|0+)/(.+)", path)) and (
            content := self.server.repos.get(found[1], {}).get(found[2])
        ) is not None:
            etag = hashlib.sha256(content).hexdigest()
            self._send(content, 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'})
        else:
            self._absent()

    def _create(self, asked: dict[str, Any]) -> None:
        if asked["organization"] != OWNER:
            self._json({"error": "Forbidden"}, 403)
            return
        name = f"{asked['type']}s/{asked['organization']}/{asked['name']}"
        there = name in self.server.repos
        self.server.repos.setdefault(name, {})
        if not there:
            self.server.private[name] = asked.get("visibility") == "private" or asked.get("private") is True
        self._json({"url": f"{self.server.url}/{name.removeprefix('models/')}"}, 409 if there else 200)

    def _mode(self, path: str) -> dict[str, Any]:
        return {
            "path": path,
            "uploadMode": "lfs" if path.endswith(LARGE) else "regular",
            "shouldIgnore": False,
        }

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        files = self.server.repos[repo]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                assert line["key"] == "header"
        self.server.commits += 1
        url = f"{self.server.url}/{repo.removeprefix('models/')}/commit/{COMMIT}"
        self._json({"success": True, "commitOid": COMMIT, "commitUrl": url})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _absent(self) -> None:
        self._send(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
