"""Long task templates of the code host that join pages of projects: releases, authors, members."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

from planact_envs.miniweb.content.code import LABELS, THINGS
from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, change, report, report_missing
from planact_envs.miniweb.templates.code import URL, find_issue, issue_of, issue_url, issues, latest, new_issue_evaluate, projects, tab
from planact_envs.miniweb.templates.stages import (
    answer_if_there,
    choose,
    conclude,
    fact,
    go,
    joined,
    open_listed,
    plain,
    press,
    search_projects,
    stop,
    submit,
    type_,
)

APART = 17  # places in the list of projects between two that are compared


def all_projects() -> Stage:
    return go("All projects", "The search box is on the page of all projects.")


def day(text: str) -> datetime:
    return datetime.strptime(text, "%d %B %Y")


def released(db: Database, project: str) -> datetime:
    sql = "SELECT created FROM code_release WHERE project = ? ORDER BY id DESC"
    return day(one(db, sql, project)["created"])


def newer_instances(db: Database) -> list[Params]:
    """Neighbours in the list of projects, in pairs and then shifted by one, without the pairs released on one day."""
    names = [params["project"] for params in projects(db)]
    pairs = [*zip(names[0::2], names[1::2]), *zip(names[1::2], names[2::2])]
    more = [{"title": f"Please test {THINGS[i % len(THINGS)]}", "label": LABELS[i % len(LABELS)]} for i in range(len(pairs))]
    apart = [released(db, a) != released(db, b) for a, b in pairs]
    return [{"first": a, "second": b} | extra for (a, b), extra, good in zip(pairs, more, apart) if good]


def newer(db: Database, params: Params) -> str:
    return max((params["first"], params["second"]), key=lambda project: released(db, project))


def newer_solve(db: Database, params: Params) -> Solution:
    first, second = plain(params["first"]), plain(params["second"])
    read = search_projects(first), tab("Releases"), all_projects(), search_projects(second), tab("Releases")
    again = (all_projects(), search_projects(first)) if newer(db, params) == first.text else ()
    step = f"Set the title to '{params['title']}' and the label to '{params['label']}' and create the issue."
    moves = type_("Title", params["title"]), choose("Label", params["label"]), press("Create issue")
    new = go("New issue", "The issues page has a link for a new issue.")
    form = submit(step, "The form has a title and a label field.", *moves)
    issues = joined(
        "Open the issues of the project with the newer release.", "The pages of releases show the dates.", *again, tab("Issues")
    )
    return Solution((*read, issues, new, form, stop()))


def newer_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return new_issue_evaluate(db, params | {"project": newer(db, params)})


def author_instances(db: Database) -> list[Params]:
    """Two issues of a project, the first one to be assigned to the author of the second one."""
    found = []
    for params in projects(db):
        own = rows(db, "SELECT * FROM code_issue WHERE project = ? ORDER BY number", params["project"])
        pairs = [(a, b) for a, b in pairwise(own) if a["assignee"] != b["author"]][:2]
        found += [params | {"issue": a["title"], "other": b["title"]} for a, b in pairs]
    return found


def other_issue(db: Database, params: Params) -> Row:
    return issue_of(db, params | {"issue": params["other"]})


def author_solve(db: Database, params: Params) -> Solution:
    author, facts = fact("author", other_issue(db, params)["author"], "the author of the other issue", seen_after=3)
    moves = choose("Assignee", author.text), press("Save assignee")
    form = submit(f"Set the assignee to {author.shown} and save.", "The issue page has a field for the assignee.", *moves)
    there = find_issue(params | {"issue": params["other"]})
    return Solution((*there, tab("Issues"), open_listed("issue", plain(params["issue"])), form, stop()), facts)


def author_evaluate(db: Database, params: Params) -> dict[str, Any]:
    issue, person = issue_of(db, params), other_issue(db, params)["author"]
    row = {"id": issue["id"], "before": {"assignee": issue["assignee"]}, "after": {"assignee": person}}
    return change("code_issue", "changed", row, url=issue_url(issue), shows=[f"Assigned to: {person}"])


def older_instances(db: Database) -> list[Params]:
    """Pairs of projects, each project in two of them, without the pairs whose oldest releases are of one day."""
    names = [params["project"] for params in projects(db)]
    pairs = zip(names, [*names[APART:], *names[:APART]])
    return [{"first": a, "second": b} for a, b in pairs if first_release(db, a) != first_release(db, b)]


def first_release(db: Database, project: str) -> datetime:
    return day(one(db, "SELECT created FROM code_release WHERE project = ? ORDER BY id", project)["created"])


def older(db: Database, params: Params) -> str:
    return min((params["first"], params["second"]), key=lambda project: first_release(db, project))


def older_solve(db: Database, params: Params) -> Solution:
    first, second = (search_projects(plain(params[name])) for name in ("first", "second"))
    read = first, tab("Releases"), all_projects(), second, tab("Releases")
    return Solution((*read, conclude("the project with the older first release", older(db, params))))


def older_evaluate(db: Database, params: Params) -> dict[str, Any]:
    urls = [f"{URL}/project/{params[name]}/releases" for name in ("first", "second")]
    return report(older(db, params), " |OR| ".join(urls))


def copy_instances(db: Database) -> list[Params]:
    names = [params["project"] for params in projects(db)]
    return [{"other": names[i * 3 % len(names)]} | params for i, params in enumerate(issues(db, "number IN (2, 4)"))]


def copy_solve(db: Database, params: Params) -> Solution:
    version, facts = fact("version", latest(db, {"project": params["other"]}), "the newest version", seen_after=2)
    moves = type_("Your comment", version.text), press("Add comment")
    write = submit(f"Write the comment {version.shown} and add it.", "The page has a form for comments.", *moves)
    read = search_projects(plain(params["other"])), tab("Releases"), all_projects()
    return Solution((*read, *find_issue(params), write, stop()), facts)


def copy_evaluate(db: Database, params: Params) -> dict[str, Any]:
    issue, version = issue_of(db, params), latest(db, {"project": params["other"]})
    row = {"issue": issue["id"], "author": ME, "created": TODAY, "body": version}
    return change("code_comment", "added", row, url=issue_url(issue), shows=[f"{version} ({ME}"])


def stranger_instances(db: Database) -> list[Params]:
    """An issue of each project, and a person of the next project who is not a member of this one."""
    sql = (
        "SELECT person FROM code_member WHERE project = ? AND person NOT IN (SELECT person FROM code_member WHERE project = ?) ORDER BY id"
    )
    found = issues(db, "number = 3")
    nearby = zip(found, [*found[1:], found[0]])
    return [params | {"person": one(db, sql, after["project"], params["project"])["person"]} for params, after in nearby]


def stranger_solve(db: Database, params: Params) -> Solution:
    return Solution((*find_issue(params), answer_if_there(f"assignee '{params['person']}' in the field")))


def stranger_evaluate(db: Database, params: Params) -> dict[str, Any]:
    issue = issue_of(db, params)
    return report_missing(f"{issue_url(issue)} |OR| {issue_url(issue).rsplit('/', 2)[0]}/members")


CODE = ("code",)
NEWER = (
    "Open an issue titled '{title}', label '{label}', in the one of '{first}' and '{second}' whose newest release is later.",
    "Which of '{first}' and '{second}' made its newest release last? Create the issue '{title}' (label '{label}') there.",
    "Either '{first}' or '{second}' has the more recent release. Report '{title}' there as a new issue labelled '{label}'.",
)
AUTHOR = (
    "Assign the issue '{issue}' of the project '{project}' to the person who wrote the issue '{other}'.",
    "In the project '{project}', make the author of '{other}' the assignee of '{issue}'.",
    "Whoever opened '{other}' in the project '{project}' should work on '{issue}'. Set the assignee.",
)
COPY = (
    "Comment the newest version of '{other}' on the issue '{issue}' of the project '{project}'.",
    "The issue '{issue}' of '{project}' needs the newest version of '{other}'. Add a comment with just this version.",
    "Look up which release of '{other}' is the newest and add its version, nothing else, as a comment to '{issue}' in '{project}'.",
)
OLDER = (
    "Which project made its first release earlier, '{first}' or '{second}'?",
    "Compare the oldest releases of '{first}' and '{second}'. Answer with the name of the project that came first.",
    "Was '{first}' or '{second}' released for the first time before the other? Give me the project's name.",
)
STRANGER = (
    "Make '{person}' the assignee of the issue '{issue}' in the project '{project}'.",
    "'{person}' wants to work on '{issue}' of the project '{project}'. Assign it to them.",
    "Set the assignee of '{issue}' in '{project}' to '{person}'.",
)
PROJECT, PAIR = ("project",), ("first", "second")
TEMPLATES = (
    Template("code.newer", CODE, NEWER, PAIR, newer_instances, newer_solve, newer_evaluate, "change", weight=3),
    Template("code.author", CODE, AUTHOR, PROJECT, author_instances, author_solve, author_evaluate, "change", weight=3),
    Template("code.copy", CODE, COPY, PROJECT, copy_instances, copy_solve, copy_evaluate, "change", weight=3),
    Template("code.older", CODE, OLDER, PAIR, older_instances, older_solve, older_evaluate, "compare", weight=2),
    Template("code.stranger", CODE, STRANGER, PROJECT, stranger_instances, stranger_solve, stranger_evaluate, "infeasible"),
)
