"""A stand-in for the Hugging Face Hub on this machine: enough of its API to make, fill, list and read repositories.

    python tests/hub.py          # prints its address; ends when its standard input is closed

State is kept in memory. `GET /_state` tells what was written, `POST /_fail?path=commit&status=500` lets all later requests
whose path has that part fail; an empty path ends that.
"""

import base64
import hashlib
import json
import socket
import sys
import threading
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

LARGE = (".parquet", ".safetensors", ".bin")  # what the Hub keeps as LFS whatever its size


@dataclass
class Repository:
    kind: str
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)  # messages

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
    name, repository = found(request)
    if repository is None:
        return missing("RepoNotFound")
    siblings = [{"rfilename": path} for path in sorted(repository.files)]
    about = {"id": name, "sha": repository.sha, "private": repository.private, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}
    return JSONResponse(about | {"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"})


async def tree(request: Request) -> Response:
    _, repository = found(request)
    folder = request.path_params.get("folder", "").strip("/")
    if repository is None:
        return missing("RepoNotFound")
    paths = [path for path in sorted(repository.files) if path.startswith(f"{folder}/" if folder else "")]
    return JSONResponse([repository.entry(path) for path in paths]) if paths or not folder else missing("EntryNotFound")


async def paths_info(request: Request) -> Response:
    _, repository = found(request)
    form = await request.form()
    asked = form.getlist("paths") if form else (await request.json())["paths"]
    return JSONResponse([repository.entry(path) for path in asked if path in repository.files])


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
    name, repository = found(request)
    lines = [json.loads(line) for line in (await request.body()).splitlines()]
    header, added = lines[0]["value"], {}
    if header.get("parentCommit") not in (None, repository.sha):
        return JSONResponse({"error": "the branch has moved"}, status_code=412)
    for line in lines[1:]:
        value = line["value"]
        added[value["path"]] = base64.b64decode(value["content"]) if line["key"] == "file" else large[value["oid"]]
    repository.files |= added
    repository.commits.append(header["summary"])
    return JSONResponse({"success": True, "commitOid": repository.sha, "commitUrl": f"{request.base_url}{name}/commit/{repository.sha}"})


async def resolve(request: Request) -> Response:
    _, repository = found(request)
    content = repository.files.get(request.path_params["path"]) if repository else None
    if content is None:
        return missing("EntryNotFound" if repository else "RepoNotFound")
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": repository.sha, "Accept-Ranges": "bytes"}
    return Response(content, headers=headers)


async def whoami(request: Request) -> Response:
    return JSONResponse({"type": "user", "name": "tester", "auth": {"type": "access_token", "accessToken": {"role": "write"}}})


async def validate(request: Request) -> Response:
    return JSONResponse({"errors": [], "warnings": []})


async def state(request: Request) -> Response:
    shown = {
        name: {"kind": r.kind, "private": r.private, "commits": r.commits, "files": {p: len(c) for p, c in r.files.items()}}
        for name, r in repositories.items()
    }
    return JSONResponse({"repositories": shown, "writes": writes})


async def fail(request: Request) -> Response:
    failing.clear()
    failing.update(request.query_params)
    return Response()


def found(request: Request) -> tuple[str, Repository | None]:
    name = f"{request.path_params['owner']}/{request.path_params['name']}"
    return name, repositories.get(name)


def routes() -> list[Route]:
    repo = "/api/{kind}/{owner}/{name}"
    return [
        Route("/_state", state),
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
        Route("/datasets/{owner}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
        Route("/{owner}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
        Route("/datasets/{owner}/{name}/resolve/{revision}/{path:path}", resolve),
        Route("/{owner}/{name}/resolve/{revision}/{path:path}", resolve),
    ]


class Gate:
    """Counts writes and fails on demand."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        own = scope["type"] != "http" or scope["path"].startswith(("/_state", "/_fail"))
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
