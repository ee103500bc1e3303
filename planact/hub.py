"""Push files to the Hugging Face Hub: private unless told otherwise, in one commit, and never with a secret in them.

The same files again make no commit. Files that are only on the Hub are left there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from planact.secrets import secret_values, secrets_in

WEIGHTS = (".safetensors",)  # numbers, not searched for secrets
SHOWN = 10  # findings named in a refusal
COMMIT_OID = 40  # hex digits

Files = Mapping[str, Path]  # name in the repository -> what is pushed under it
Reader = Callable[[Path], Iterator[tuple[str, str]]]  # a file's texts, each with the place that it stands at


class PublishError(RuntimeError):
    """Nothing was published. The message says why and what to do."""


@dataclass(frozen=True)
class Push:
    """What a push does to a repository, or would do: files by what happens to them."""

    repo: str
    exists: bool
    public: bool  # what a repository that is made will be
    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    left: tuple[str, ...]  # on the Hub only
    head: str = ""  # commit that the branch is at
    branch: str = ""  # empty: the repository's main one

    @property
    def is_due(self) -> bool:
        return bool(self.new or self.changed)

    def lines(self, folder: Path, files: Files, done: bool) -> list[str]:
        """What was done, or would be: the files and their sizes."""
        place = f"{self.repo}, branch {self.branch}" if self.branch else self.repo
        if not self.is_due:
            return [f"{place} holds these files already; nothing to push"]
        state = "" if self.exists else f"; {'made' if done else 'it would be made'} {'public' if self.public else 'private'}"
        lines = [f"{'pushed' if done else 'would push'} {folder} to {place}{state}"]
        for word, names in (("new", self.new), ("changed", self.changed), ("unchanged", self.unchanged)):
            lines += [f"  {word:9} {files[name].stat().st_size:>13,} bytes  {name}" for name in names]
        return lines + [f"  {'left':9} {'':>13} on the Hub {name}" for name in self.left]


def publishable(folder: Path) -> dict[str, Path]:
    """The files below `folder`, without hidden and half-written ones, and without links, which may lead anywhere.

    Raises PublishError when there is none.
    """
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and not _is_private(p.relative_to(folder)))
    if not found:
        raise PublishError(f"there is nothing to push in {folder}")
    return {path.relative_to(folder).as_posix(): path for path in found}


def _is_private(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts) or path.suffix == ".part"


def check_secrets(folder: Path, files: Files, readers: Mapping[str, Reader]) -> None:
    """Raises PublishError that names where one of the `files` of `folder` holds something that must not be published."""
    found = [*islice(find_secrets(files, os.environ, readers), SHOWN + 1)]
    if found:
        more = ["  ..."] if len(found) > SHOWN else []
        lines = "\n".join([*(f"  {line}" for line in found[:SHOWN]), *more])
        raise PublishError(f"nothing was pushed, because {folder} holds what looks like secrets:\n{lines}\nremove them and build again")


def find_secrets(files: Files, environment: Mapping[str, str], readers: Mapping[str, Reader]) -> Iterator[str]:
    """One line for each finding: file, place and kind; never the secret. A suffix without a reader is read as lines of text."""
    own = secret_values(environment)
    for name, path in files.items():
        if path.suffix in WEIGHTS:
            continue
        for place, text in readers.get(path.suffix, _lines)(path):
            yield from (f"{name}, {place}: {secret}" for secret in secrets_in(text, own))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        yield from ((f"line {number}", line) for number, line in enumerate(file, 1))


def push_files(files: Files, repo: str, kind: str, *, branch: str = "", public: bool = False, dry_run: bool = False, message: str) -> Push:
    """Bring a branch of the repository `repo` ("owner/name", `kind` "dataset" or "model") to `files`. A dry run only reads.

    Nothing is searched for secrets here: `check_secrets` comes first. A repository that is not there yet is made, private unless
    `public`; a branch that is not there yet begins at the repository's first commit. Raises PublishError; the branch is then as it was.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError

    api = HfApi(library_name="planact")
    try:
        push = compare(api, repo, kind, files, branch, public)
        if dry_run or not push.is_due:
            return push
        if not push.exists:
            api.create_repo(repo, repo_type=kind, private=not public, exist_ok=True)
        if branch and not push.head:
            first = api.list_repo_commits(repo, repo_type=kind)[-1].commit_id
            api.create_branch(repo, branch=branch, revision=first, repo_type=kind, exist_ok=True)
        operations = [CommitOperationAdd(name, files[name]) for name in (*push.new, *push.changed)]
        parent = push.head if len(push.head) == COMMIT_OID else None
        api.create_commit(repo, operations, commit_message=message, repo_type=kind, revision=branch or None, parent_commit=parent)
    except PublishError:
        raise
    except HFValidationError as error:
        raise PublishError(f"{repo!r} is no name of a repository, which looks like owner/name") from error
    except (HTTPError, OSError, ValueError, RuntimeError) as error:  # RuntimeError: weights whose upload failed
        raise PublishError(_advice(repo, error)) from None
    return push


def compare(api: Any, repo: str, kind: str, files: Files, branch: str, public: bool) -> Push:
    """What a push of `files` would do. Raises PublishError for a public repository that was not meant to be one."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = api.repo_info(repo, repo_type=kind)
    except RepositoryNotFoundError:
        return Push(repo, False, public, tuple(files), (), (), (), branch=branch)
    if not info.private and not public:
        raise PublishError(f"{repo} is public, so everyone could read what is pushed; add --public if that is meant")
    try:
        head = api.repo_info(repo, repo_type=kind, revision=branch).sha if branch else info.sha
    except RevisionNotFoundError:
        return Push(repo, True, not info.private, tuple(files), (), (), (), branch=branch)
    entries = api.list_repo_tree(repo, recursive=True, repo_type=kind, revision=branch or None)
    there = {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}
    same = {name for name, path in files.items() if name in there and _is_same(path, there[name])}
    return Push(
        repo,
        exists=True,
        public=not info.private,
        new=tuple(name for name in files if name not in there),
        changed=tuple(name for name in files if name in there and name not in same),
        unchanged=tuple(name for name in files if name in same),
        left=tuple(name for name in there if name not in files),
        head=head or "",
        branch=branch,
    )


def _is_same(path: Path, remote: Any) -> bool:
    """The Hub knows a large file by its SHA-256 and any other by git's hash of a blob."""
    if path.stat().st_size != remote.size:
        return False
    with path.open("rb") as file:
        if remote.lfs:
            return hashlib.file_digest(file, "sha256").hexdigest() == remote.lfs.sha256
        content = file.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == remote.blob_id


def _advice(repo: str, error: Exception) -> str:
    """What went wrong and what to do. Only the first line of the error, which names no header."""
    answered = next((e.response for e in (error, error.__cause__) if getattr(e, "response", None) is not None), None)
    status = getattr(answered, "status_code", None)
    said = next(iter(str(error).split("\n")), "")[:300] or type(error).__name__
    todo = {
        401: "log in with a token that may write there: hf auth login",
        403: "log in with a token that may write there: hf auth login",
        412: "somebody else pushed at the same time; give the same command again",
    }
    return f"{repo} is as it was: {said}\n{todo.get(status, 'nothing was published; give the same command again')}"
