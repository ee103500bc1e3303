"""A stand-in for the Hugging Face Hub on this machine: enough of its API to make, fill, list and read repositories and branches.

    python tests/hub.py          # prints its address; ends when its standard input is closed

    with serving(home) as hub:   # in a test: the libraries read the address when they are imported, so in a process of their own
        hub.run("scripts/push.py", ...)

State is kept in memory. `GET /_state` tells what was written, `POST /_fail?path=commit&status=500` lets all later requests
whose path has that part fail; an empty path ends that.
"""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

LARGE = (".parquet", ".safetensors", ".bin")  # what the Hub keeps as LFS whatever its size


@dataclass
class Branch:
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)  # messages, without that of the empty first commit

    @property
    def sha(self) -> str:
        return hashlib.sha1(repr(self.commits).encode()).hexdigest()

    def entry(self, path: str) -> dict:
        content = self.files[path]
        found = {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
        if path.endswith(LARGE):
            oid = hashlib.sha256(content).hexdigest()
            found |= {"oid": hashlib.sha1(oid.encode()).hexdigest(), "lfs": {"oid": oid, "size": len(content), "pointerSize": 134}}
        return found

    @property
    def shown(self) -> dict:
        return {"commits": self.commits, "files": {path: len(content) for path, content in self.files.items()}}


@dataclass
class Repository:
    kind: str
    private: bool
    branches: dict[str, Branch] = field(default_factory=lambda: {"main": Branch()})

    def at(self, revision: str) -> Branch | None:
        return self.branches.get(revision) or next((b for b in self.branches.values() if b.sha == revision), None)


repositories: dict[str, Repository] = {}
large: dict[str, bytes] = {}  # uploaded LFS objects by SHA-256
writes: list[str] = []  # every request that is no read
failing: dict[str, str] = {}


def missing(code: str) -> Response:
    return JSONResponse({"error": "not found"}, status_code=404, headers={"X-Error-Code": code})


async def create(request: Request) -> Response:
    asked = await request.json()
    name = f"{asked.get('organization') or 'tester'}/{asked['name']}"
    if name in repositories:
        return JSONResponse({"error": "it exists"}, status_code=409)
    repositories[name] = Repository(asked.get("type", "model"), asked.get("visibility") == "private" or bool(asked.get("private")))
    return JSONResponse({"url": f"{request.base_url}{name}", "name": name, "id": name})


async def info(request: Request) -> Response:
    name, repository, branch = found(request)
    if branch is None:
        return missing("RevisionNotFound" if repository else "RepoNotFound")
    siblings = [{"rfilename": path} for path in sorted(branch.files)]
    about = {"id": name, "sha": branch.sha, "private": repository.private, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}
    return JSONResponse(about | {"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"})


async def tree(request: Request) -> Response:
    _, repository, branch = found(request)
    folder = request.path_params.get("folder", "").strip("/")
    if branch is None:
        return missing("RevisionNotFound" if repository else "RepoNotFound")
    paths = [path for path in sorted(branch.files) if path.startswith(f"{folder}/" if folder else "")]
    return JSONResponse([branch.entry(path) for path in paths]) if paths or not folder else missing("EntryNotFound")


async def paths_info(request: Request) -> Response:
    _, _, branch = found(request)
    form = await request.form()
    asked = form.getlist("paths") if form else (await request.json())["paths"]
    return JSONResponse([branch.entry(path) for path in asked if path in branch.files])


async def commits(request: Request) -> Response:
    *_, branch = found(request)
    days = range(len(branch.commits), -1, -1)  # the newest first, and last the empty one that every repository begins with
    told = [(Branch(commits=branch.commits[:day]).sha, branch.commits[day - 1] if day else "initial commit") for day in days]
    return JSONResponse(
        [{"id": sha, "title": title, "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"} for sha, title in told]
    )


async def make_branch(request: Request) -> Response:
    name, repository, _ = found(request)
    branch, start = request.path_params["branch"], (await request.json()).get("startingPoint", "main")
    if branch in repository.branches:
        return JSONResponse({"error": "it exists"}, status_code=409)
    beginning = repository.at(start) or Branch()
    repository.branches[branch] = Branch(dict(beginning.files), [*beginning.commits])
    return JSONResponse({"name": name})


async def preupload(request: Request) -> Response:
    asked = (await request.json())["files"]
    modes = [{"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular", "shouldIgnore": False} for f in asked]
    return JSONResponse({"files": modes})


async def batch(request: Request) -> Response:
    objects = (await request.json())["objects"]
    there = [one | {"actions": {"upload": {"href": f"{request.base_url}_large/{one['oid']}", "header": {}}}} for one in objects]
    return JSONResponse({"transfer": "basic", "objects": there})


async def upload(request: Request) -> Response:
    large[request.path_params["oid"]] = await request.body()
    return Response()


async def commit(request: Request) -> Response:
    name, _, branch = found(request)
    lines = [json.loads(line) for line in (await request.body()).splitlines()]
    header, added = lines[0]["value"], {}
    if header.get("parentCommit") not in (None, branch.sha):
        return JSONResponse({"error": "the branch has moved"}, status_code=412)
    for line in lines[1:]:
        value = line["value"]
        added[value["path"]] = base64.b64decode(value["content"]) if line["key"] == "file" else large[value["oid"]]
    branch.files |= added
    branch.commits.append(header["summary"])
    return JSONResponse({"success": True, "commitOid": branch.sha, "commitUrl": f"{request.base_url}{name}/commit/{branch.sha}"})


async def resolve(request: Request) -> Response:
    _, repository, branch = found(request)
    content = branch.files.get(request.path_params["path"]) if branch else None
    if content is None:
        return missing("EntryNotFound" if repository else "RepoNotFound")
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": branch.sha, "Accept-Ranges": "bytes"}
    return Response(content, headers=headers)


async def whoami(request: Request) -> Response:
    return JSONResponse({"type": "user", "name": "tester", "auth": {"type": "access_token", "accessToken": {"role": "write"}}})


async def validate(request: Request) -> Response:
    return JSONResponse({"errors": [], "warnings": []})


async def state(request: Request) -> Response:
    shown = {
        name: {"kind": r.kind, "private": r.private}
        | r.branches["main"].shown
        | {"branches": {branch: b.shown for branch, b in r.branches.items() if branch != "main"}}
        for name, r in repositories.items()
    }
    return JSONResponse({"repositories": shown, "writes": writes})


async def content(request: Request) -> Response:
    *_, branch = found(request)
    return Response(branch.files[request.path_params["path"]])


async def fail(request: Request) -> Response:
    failing.clear()
    failing.update(request.query_params)
    return Response()


def found(request: Request) -> tuple[str, Repository | None, Branch | None]:
    name = f"{request.path_params['owner']}/{request.path_params['name']}"
    repository = repositories.get(name)
    return name, repository, repository and repository.at(request.path_params.get("revision", "main"))


def routes() -> list[Route]:
    repo = "/api/{kind}/{owner}/{name}"
    return [
        Route("/_state", state),
        Route("/_content/{owner}/{name}/{revision}/{path:path}", content),
        Route("/_fail", fail, methods=["POST"]),
        Route("/_large/{oid}", upload, methods=["PUT"]),
        Route("/api/whoami-v2", whoami),
        Route("/api/validate-yaml", validate, methods=["POST"]),
        Route("/api/repos/create", create, methods=["POST"]),
        Route(repo, info),
        Route(f"{repo}/revision/{{revision}}", info),
        Route(f"{repo}/tree/{{revision}}", tree),
        Route(f"{repo}/tree/{{revision}}/{{folder:path}}", tree),
        Route(f"{repo}/paths-info/{{revision}}", paths_info, methods=["POST"]),
        Route(f"{repo}/preupload/{{revision}}", preupload, methods=["POST"]),
        Route(f"{repo}/commit/{{revision}}", commit, methods=["POST"]),
        Route(f"{repo}/commits/{{revision}}", commits),
        Route(f"{repo}/branch/{{branch}}", make_branch, methods=["POST"]),
        Route("/datasets/{owner}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
        Route("/{owner}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
        Route("/datasets/{owner}/{name}/resolve/{revision}/{path:path}", resolve),
        Route("/{owner}/{name}/resolve/{revision}/{path:path}", resolve),
    ]


class Hub:
    """A running stand-in, as a test sees it."""

    def __init__(self, url: str, home: Path):
        self.url = url
        self.environment = os.environ | {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
        self.environment |= {"HF_TOKEN": "a-token-that-only-the-stand-in-takes"}

    @property
    def state(self) -> dict:
        with urllib.request.urlopen(f"{self.url}/_state") as answer:
            return json.load(answer)

    def text(self, repo: str, path: str, revision: str = "main") -> str:
        with urllib.request.urlopen(f"{self.url}/_content/{repo}/{revision}/{path}") as answer:
            return answer.read().decode()

    def fail(self, path: str, status: int = 500) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/_fail?path={path}&status={status}", method="POST")).close()

    def run(self, *command) -> subprocess.CompletedProcess:
        root = Path(__file__).parents[1]
        command = [sys.executable, *map(str, command)]
        return subprocess.run(command, env=self.environment, cwd=root, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def serving(home: Path):
    """A stand-in of the test's own; `home` is where the libraries keep what they download."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Hub(process.stdout.readline().strip(), home)
        process.stdin.close()


class Gate:
    """Counts writes and fails on demand."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        own = scope["type"] != "http" or scope["path"].startswith(("/_state", "/_content", "/_fail"))
        if not own and failing.get("path") and failing["path"] in scope["path"]:
            answer = PlainTextResponse("the server is on fire", status_code=int(failing.get("status", "500")))
            return await answer(scope, receive, send)
        if not own and scope["method"] not in ("GET", "HEAD") and "paths-info" not in scope["path"]:
            writes.append(f"{scope['method']} {scope['path']}")
        return await self.app(scope, receive, send)


def main() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Gate(Starlette(routes=routes())), log_level="warning"))
    threading.Thread(target=lambda: (sys.stdin.read(), setattr(server, "should_exit", True)), daemon=True).start()
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
