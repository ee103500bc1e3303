"""Task templates of the code host."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.content.code import COMMENTS, LABELS, THINGS
from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, change, report
from planact_envs.miniweb.templates.stages import (
    answer,
    choose,
    fact,
    go,
    open_listed,
    plain,
    press,
    search_projects,
    stop,
    submit,
    type_,
)

URL = "http://code.miniweb"
REMARKS = (*COMMENTS, "Please add a test", "I can look at it next week", "This helps me a lot", "Not on my machine")


def project_of(db: Database, params: Params) -> Row:
    return one(db, "SELECT * FROM code_project WHERE name = ?", params["project"])


def issue_of(db: Database, params: Params) -> Row:
    return one(db, "SELECT * FROM code_issue WHERE project = ? AND title = ?", params["project"], params["issue"])


def issue_url(issue: Row) -> str:
    return f"{URL}/project/{issue['project']}/issues/{issue['number']}"


def projects(db: Database, where: str = "1") -> list[Params]:
    """The projects for which `where`, SQL of this module, holds."""
    return [{"project": row["name"]} for row in rows(db, f"SELECT name FROM code_project WHERE {where} ORDER BY id")]


def issues(db: Database, where: str = "1") -> list[Params]:
    """The issues for which `where`, SQL of this module, holds."""
    found = rows(db, f"SELECT project, title FROM code_issue WHERE {where} ORDER BY id")
    return [{"project": row["project"], "issue": row["title"]} for row in found]


def find_project(params: Params) -> Stage:
    """One move: the search goes straight to the project that has this name."""
    return search_projects(plain(params["project"]))


def tab(name: str) -> Stage:
    return go(name, f"The project has a page {name}.")


def find_issue(params: Params) -> tuple[Stage, ...]:
    """From the home page to an issue: three moves."""
    return find_project(params), tab("Issues"), open_listed("issue", plain(params["issue"]))


def star() -> Stage:
    return submit("Star the project.", "The project page has a button for stars.", press("Star"))


def close() -> Stage:
    return submit("Close the issue.", "The issue page has a button for this.", press("Close issue"))


def latest(db: Database, params: Params) -> str:
    sql = "SELECT version FROM code_release WHERE project = ? ORDER BY id DESC"
    return one(db, sql, params["project"])["version"]


def release_solve(db: Database, params: Params) -> Solution:
    return Solution((find_project(params), tab("Releases"), answer("newest version", latest(db, params))))


def release_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(latest(db, params))


def unstarred(db: Database) -> list[Params]:
    return projects(db, "name NOT IN (SELECT project FROM code_star)")


def star_solve(db: Database, params: Params) -> Solution:
    return Solution((find_project(params), star(), stop()))


def starred(name: str) -> dict[str, Any]:
    return change("code_star", "added", {"project": name}, url=f"{URL}/stars", shows=[name])


def star_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return starred(params["project"])


def new_issue_instances(db: Database) -> list[Params]:
    more = [{"title": f"Please explain {THINGS[i % len(THINGS)]}", "label": LABELS[i % 4]} for i in range(len(projects(db)))]
    return [params | extra for params, extra in zip(projects(db), more)]


def new_issue_solve(db: Database, params: Params) -> Solution:
    step = f"Set the title to '{params['title']}' and the label to '{params['label']}' and create the issue."
    moves = type_("Title", params["title"]), choose("Label", params["label"]), press("Create issue")
    new = go("New issue", "The issues page has a link for a new issue.")
    form = submit(step, "The form has a title and a label field.", *moves)
    return Solution((find_project(params), tab("Issues"), new, form, stop()))


def new_issue_evaluate(db: Database, params: Params) -> dict[str, Any]:
    name, title = params["project"], params["title"]
    number = one(db, "SELECT max(number) + 1 AS number FROM code_issue WHERE project = ?", name)["number"]
    row = {"project": name, "number": number, "title": title, "author": ME, "assignee": "", "label": params["label"]}
    row |= {"status": "open", "created": TODAY, "body": "", "duplicates": ""}
    return change("code_issue", "added", row, url=f"{URL}/project/{name}/issues", shows=[title])


def close_solve(db: Database, params: Params) -> Solution:
    return Solution((*find_issue(params), close(), stop()))


def closed(issue: Row) -> dict[str, Any]:
    row = {"id": issue["id"], "before": {"status": "open"}, "after": {"status": "closed"}}
    shows = [f"Issue {issue['number']} of {issue['project']}, closed"]
    return change("code_issue", "changed", row, url=issue_url(issue), shows=shows)


def close_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return closed(issue_of(db, params))


def comment_instances(db: Database) -> list[Params]:
    return [params | {"text": REMARKS[i * 3 % len(REMARKS)]} for i, params in enumerate(issues(db))]


def comment_solve(db: Database, params: Params) -> Solution:
    moves = type_("Your comment", params["text"]), press("Add comment")
    write = submit(f"Write the comment '{params['text']}' and add it.", "The page has a form for comments.", *moves)
    return Solution((*find_issue(params), write, stop()))


def comment_evaluate(db: Database, params: Params) -> dict[str, Any]:
    issue, text = issue_of(db, params), params["text"]
    row = {"issue": issue["id"], "author": ME, "created": TODAY, "body": text}
    return change("code_comment", "added", row, url=issue_url(issue), shows=[f"{text} ({ME}"])


def assignee_instances(db: Database) -> list[Params]:
    return issues(db, "assignee <> ''")


def assignee_solve(db: Database, params: Params) -> Solution:
    return Solution((*find_issue(params), answer("assignee", issue_of(db, params)["assignee"])))


def assignee_evaluate(db: Database, params: Params) -> dict[str, Any]:
    issue = issue_of(db, params)
    return report(issue["assignee"], url=issue_url(issue))


def maintainer(db: Database, params: Params) -> str:
    return one(db, "SELECT person FROM code_member WHERE project = ? AND role = 'maintainer'", params["project"])["person"]


def assign_solve(db: Database, params: Params) -> Solution:
    person, facts = fact("maintainer", maintainer(db, params), "the maintainer", seen_after=2)
    step = f"Set the assignee to {person.shown} and save."
    form = submit(step, "The issue page has a field for the assignee.", choose("Assignee", person.text), press("Save assignee"))
    start, issues_tab, found = find_issue(params)
    return Solution((start, tab("Members"), issues_tab, found, form, stop()), facts)


def assign_evaluate(db: Database, params: Params) -> dict[str, Any]:
    issue, person = issue_of(db, params), maintainer(db, params)
    row = {"id": issue["id"], "before": {"assignee": issue["assignee"]}, "after": {"assignee": person}}
    return change("code_issue", "changed", row, url=issue_url(issue), shows=[f"Assigned to: {person}"])


def dependent(db: Database) -> list[Params]:
    return projects(db, "depends <> ''")


def find_dependency(db: Database, params: Params):
    """From the home page to the project that this one depends on: three moves. Also the fact."""
    needed, facts = fact("dependency", project_of(db, params)["depends"], "the project it depends on", seen_after=1)
    home = go("All projects", "The search box is on the page of all projects.")
    return (find_project(params), home, search_projects(needed)), facts


def needed_stars_solve(db: Database, params: Params) -> Solution:
    stages, facts = find_dependency(db, params)
    return Solution((*stages, answer("stars", needed_stars(db, params))), facts)


def needed_stars(db: Database, params: Params) -> str:
    """As the page shows it: the user's own star counts too."""
    name = project_of(db, params)["depends"]
    own = one(db, "SELECT count(*) AS number FROM code_star WHERE project = ?", name)["number"]
    return str(project_of(db, {"project": name})["stars"] + own)


def needed_stars_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(needed_stars(db, params))


def needing(db: Database) -> list[Params]:
    return projects(db, "depends <> '' AND depends NOT IN (SELECT project FROM code_star)")


def star_needed_solve(db: Database, params: Params) -> Solution:
    stages, facts = find_dependency(db, params)
    return Solution((*stages, star(), stop()), facts)


def star_needed_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return starred(project_of(db, params)["depends"])


def duplicates(db: Database) -> list[Params]:
    return issues(db, "duplicates <> ''")


def original_solve(db: Database, params: Params) -> Solution:
    original, facts = fact("original", issue_of(db, params)["duplicates"], "the issue that it duplicates", seen_after=3)
    return Solution((*find_issue(params), tab("Issues"), open_listed("issue", original), close(), stop()), facts)


def original_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return closed(issue_of(db, params | {"issue": issue_of(db, params)["duplicates"]}))


CODE = ("code",)
PROJECT, ISSUE = ("project",), ("project", "issue")
RELEASE = (
    "What is the newest release of the project '{project}'?",
    "Tell me the newest version of '{project}'.",
    "Which version of the project '{project}' is the newest?",
)
STAR = ("Star the project '{project}'.", "Give the project '{project}' a star.", "I like '{project}'. Star it on the code host.")
NEW_ISSUE = (
    "Open an issue titled '{title}' with the label '{label}' in the project '{project}'.",
    "Create the issue '{title}' in the project '{project}' and label it '{label}'.",
    "Report to the project '{project}': new issue '{title}', label '{label}'.",
)
CLOSE = (
    "Close the issue '{issue}' of the project '{project}'.",
    "The issue '{issue}' in the project '{project}' is solved. Close it.",
    "Mark '{issue}' in the project '{project}' as closed.",
)
COMMENT = (
    "Comment '{text}' on the issue '{issue}' of the project '{project}'.",
    "Add the comment '{text}' to the issue '{issue}' in the project '{project}'.",
    "Answer the issue '{issue}' of the project '{project}' with '{text}'.",
)
ASSIGNEE = (
    "Who is the issue '{issue}' of the project '{project}' assigned to?",
    "Tell me the assignee of the issue '{issue}' in the project '{project}'.",
    "Which person is to solve the issue '{issue}' of the project '{project}'?",
)
ASSIGN = (
    "Assign the issue '{issue}' of the project '{project}' to the maintainer of the project.",
    "The maintainer of the project '{project}' should solve the issue '{issue}'. Make them the assignee.",
    "Make the maintainer of '{project}' the assignee of the issue '{issue}'.",
)
NEEDED_STARS = (
    "How many stars has the project that '{project}' depends on?",
    "Tell me the stars of the project on which '{project}' depends.",
    "The project '{project}' depends on another one. How many stars has that one?",
)
STAR_NEEDED = (
    "Star the project that '{project}' depends on.",
    "The project '{project}' depends on another one. Give that one a star.",
    "Give a star to the project on which '{project}' depends.",
)
ORIGINAL = (
    "The issue '{issue}' of the project '{project}' is a duplicate. Close the issue that it duplicates.",
    "Close the issue of which '{issue}' in the project '{project}' is a duplicate.",
    "In the project '{project}', close the issue that '{issue}' duplicates.",
)
TEMPLATES = (
    Template("code.release", CODE, RELEASE, PROJECT, projects, release_solve, release_evaluate, "find", short=True),
    Template("code.star", CODE, STAR, PROJECT, unstarred, star_solve, star_evaluate, "change", short=True),
    Template("code.new_issue", CODE, NEW_ISSUE, PROJECT, new_issue_instances, new_issue_solve, new_issue_evaluate, "change", short=True),
    Template("code.close", CODE, CLOSE, ISSUE, issues, close_solve, close_evaluate, "change", short=True),
    Template("code.comment", CODE, COMMENT, ISSUE, comment_instances, comment_solve, comment_evaluate, "change", short=True),
    Template("code.assignee", CODE, ASSIGNEE, ISSUE, assignee_instances, assignee_solve, assignee_evaluate, "find", short=True),
    # The facts of these belong to the project, so that the whole project stays in one split.
    Template("code.assign", CODE, ASSIGN, PROJECT, issues, assign_solve, assign_evaluate, "change", short=True),
    Template("code.needed_stars", CODE, NEEDED_STARS, PROJECT, dependent, needed_stars_solve, needed_stars_evaluate, "find", short=True),
    Template("code.star_needed", CODE, STAR_NEEDED, PROJECT, needing, star_needed_solve, star_needed_evaluate, "change", short=True),
    Template("code.original", CODE, ORIGINAL, PROJECT, duplicates, original_solve, original_evaluate, "change", short=True),
)
