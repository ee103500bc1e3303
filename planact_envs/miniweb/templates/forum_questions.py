"""Long task templates of the forum that ask for something or for a page: members, communities and their writers."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlencode

from planact_envs.miniweb.content.people import FIRST, LAST
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, end_on, report, report_missing
from planact_envs.miniweb.templates.forum import SITE, URL
from planact_envs.miniweb.templates.stages import (
    Value,
    answer,
    answer_if_there,
    choose,
    click,
    conclude,
    fact,
    go,
    open_result,
    plain,
    press,
    search_communities,
    search_members,
    search_writers,
    stop_on_page,
    submit,
)


def community(db: Database, title: str) -> Row:
    return one(db, "SELECT * FROM forum_community WHERE title = ?", title)


def communities(db: Database) -> list[Params]:
    return [{"community": row["title"]} for row in rows(db, "SELECT title FROM forum_community ORDER BY id")]


def moderated(db: Database, params: Params) -> Row:
    """The community that the member of the task moderates."""
    return one(db, "SELECT * FROM forum_community WHERE moderator = ?", params["member"])


def moderators(db: Database) -> list[Params]:
    return [{"member": row["moderator"]} for row in rows(db, "SELECT moderator FROM forum_community ORDER BY id")]


def to_communities() -> tuple[Stage, ...]:
    """From any page of the forum to the communities: two moves."""
    return go("My profile", "My profile leads to the communities."), go("Communities", "My profile has a link to the communities.")


def back_to_communities() -> Stage:
    return go("Communities", "The search box is on the communities page.")


def find_community(value: Value) -> tuple[Stage, ...]:
    """From the communities to one of them: two moves."""
    return search_communities(value), open_result("community", value)


def find_writer(params: Params) -> tuple[Stage, ...]:
    """From a page of the communities to a writer's threads: three moves."""
    writer = plain(params["member"])
    return go("Writers", "The communities have a page of their writers."), search_writers(writer), open_result("writer", writer)


def threads_by(db: Database, params: Params) -> list[Row]:
    return rows(db, "SELECT * FROM forum_thread WHERE author = ?", params["member"])


def total_points(db: Database, params: Params) -> str:
    return str(sum(thread["points"] for thread in threads_by(db, params)))


def total_instances(db: Database) -> list[Params]:
    """Writers whose threads do not fit on one page; one for each sum."""
    writers = [{"member": row["author"]} for row in rows(db, "SELECT DISTINCT author FROM forum_thread ORDER BY author")]
    long = [params for params in writers if len(threads_by(db, params)) > PAGE_SIZE]
    return list({total_points(db, params): params for params in long}.values())


def total_solve(db: Database, params: Params) -> Solution:
    turns = math.ceil(len(threads_by(db, params)) / PAGE_SIZE) - 1
    read = submit("Read the points of all threads in the list to its end.", "The list has several pages.", *[click("Next page")] * turns)
    return Solution((*to_communities(), *find_writer(params), read, conclude("the sum of the points", total_points(db, params))))


def total_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(total_points(db, params))


def size(db: Database, params: Params) -> str:
    """As the page shows it: the user counts too."""
    found = moderated(db, params)
    joined = one(db, "SELECT count(*) AS number FROM forum_joined WHERE community = ?", found["slug"])["number"]
    return str(found["members"] + joined)


def size_instances(db: Database) -> list[Params]:
    return list({size(db, params): params for params in moderators(db)}.values())


def size_solve(db: Database, params: Params) -> Solution:
    found, facts = fact("community", moderated(db, params)["title"], "the community that this writer moderates", seen_after=5)
    to_writer = *to_communities(), *find_writer(params)
    return Solution((*to_writer, back_to_communities(), *find_community(found), answer("members", size(db, params))), facts)


def size_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(size(db, params))


def stranger_instances(db: Database) -> list[Params]:
    """People who are not on the forum, though members share their first or last name."""
    known = {row["name"] for row in rows(db, "SELECT name FROM forum_member")}
    names = [f"{FIRST[i % len(FIRST)]} {LAST[i * 7 % len(LAST)]}" for i in range(math.lcm(len(FIRST), len(LAST)))]
    return [{"member": name} for name in names if name not in known]


def stranger_solve(db: Database, params: Params) -> Solution:
    name = plain(params["member"])
    stages = (
        *to_communities(),
        go("Writers", "The communities have a page of their writers."),
        search_writers(name),
        go("Members", "Someone who is no writer may still be a member."),
        search_members(name),
        answer_if_there("members of the community"),
    )
    return Solution(stages)


def stranger_evaluate(db: Database, params: Params) -> dict[str, Any]:
    query = urlencode({"q": params["member"]})
    return report_missing(f"{URL}/members?{query} |OR| {URL}/writers?{query}")


def top_thread(db: Database, params: Params) -> Row:
    slug = community(db, params["community"])["slug"]
    return one(db, "SELECT * FROM forum_thread WHERE community = ? ORDER BY points DESC", slug)


def top_solve(db: Database, params: Params) -> Solution:
    sort = choose("Sort by", "Most points"), press("Sort")
    stages = (
        *to_communities(),
        *find_community(plain(params["community"])),
        submit("Sort the threads by Most points.", "The community page can sort its threads.", *sort),
        submit("Open the first thread in the list.", "It has the most points.", click(top_thread(db, params)["title"])),
        stop_on_page(),
    )
    return Solution(stages)


def top_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return end_on(f"{URL}/thread/{top_thread(db, params)['id']}")


def most_karma(db: Database, params: Params) -> Row:
    sql = "SELECT * FROM forum_member WHERE name IN (?, ?, ?) ORDER BY karma DESC"
    return one(db, sql, params["member"], params["second"], params["third"])


def karma_instances(db: Database) -> list[Params]:
    """Three members each, and another winner each time."""
    names = [row["name"] for row in rows(db, "SELECT name FROM forum_member ORDER BY id")]
    threes = [{"member": name, "second": names[i - 7], "third": names[i - 19]} for i, name in enumerate(names)]
    return list({most_karma(db, params)["name"]: params for params in threes}.values())


def karma_solve(db: Database, params: Params) -> Solution:
    stages: list[Stage] = []
    for name in params.values():
        stages += [go("Members", "Each page has a link to the members."), search_members(plain(name)), open_result("member", plain(name))]
    return Solution((*stages, conclude("the city of the member with the most karma", most_karma(db, params)["city"])))


def karma_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(most_karma(db, params)["city"])


def largest(db: Database, params: Params) -> Row:
    sql = "SELECT * FROM forum_community WHERE title IN (?, ?, ?) ORDER BY members DESC"
    return one(db, sql, params["community"], params["second"], params["third"])


def largest_instances(db: Database) -> list[Params]:
    """Three communities each, and another winner each time."""
    titles = [params["community"] for params in communities(db)]
    threes = [{"community": title, "second": titles[i - 5], "third": titles[i - 11]} for i, title in enumerate(titles)]
    return list({largest(db, params)["title"]: params for params in threes}.values())


def largest_solve(db: Database, params: Params) -> Solution:
    first, second, third = (find_community(plain(title)) for title in params.values())
    stages = (*to_communities(), *first, back_to_communities(), *second, back_to_communities(), *third)
    return Solution((*stages, conclude("the moderator of the community with the most members", largest(db, params)["moderator"])))


def largest_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(largest(db, params)["moderator"])


MEMBER, COMMUNITY = ("member",), ("community",)
TOTAL = (
    "How many points do all threads by '{member}' in the communities have in sum?",
    "Add up the points of all threads that '{member}' has written in the communities.",
    "Tell me the sum of the points of the threads by '{member}', over all communities.",
)
SIZE = (
    "How many members has the community that '{member}' moderates?",
    "Tell me the number of members of the community moderated by '{member}'.",
    "'{member}' moderates a community of the forum. How many members does it have?",
)
STRANGER = (
    "How large is the community that '{member}' runs?",
    "Give me the size of the community run by '{member}'.",
    "'{member}' is said to run a community on the forum. How large is it?",
)
TOP = (
    "Open the thread with the most points in the community '{community}'.",
    "Show me the thread of the community '{community}' that has the most points.",
    "Which thread in the community '{community}' has the most points? Go to its page.",
)
MOST_KARMA = (
    "In which city does the member with the most karma among '{member}', '{second}' and '{third}' live?",
    "Compare the karma of '{member}', '{second}' and '{third}' and tell me the city of the one with the most.",
    "One of the members '{member}', '{second}' and '{third}' has the most karma. What is the city of that one?",
)
LARGEST = (
    "Who moderates the largest of the communities '{community}', '{second}' and '{third}'?",
    "Name the moderator of the community with the most members: '{community}', '{second}' or '{third}'.",
    "Compare the sizes of the communities '{community}', '{second}' and '{third}' and tell me the moderator of the largest.",
)
TEMPLATES = (
    Template("forum.total_points", SITE, TOTAL, MEMBER, total_instances, total_solve, total_evaluate, "aggregate", weight=3),
    Template("forum.community_size", SITE, SIZE, MEMBER, size_instances, size_solve, size_evaluate, "find", weight=3),
    Template("forum.stranger", SITE, STRANGER, MEMBER, stranger_instances, stranger_solve, stranger_evaluate, "infeasible", weight=3),
    Template("forum.top_thread", SITE, TOP, COMMUNITY, communities, top_solve, top_evaluate, "navigate", weight=3),
    Template("forum.most_karma", SITE, MOST_KARMA, MEMBER, karma_instances, karma_solve, karma_evaluate, "compare", weight=3),
    Template(
        "forum.largest", SITE, LARGEST, COMMUNITY, largest_instances, largest_solve, largest_evaluate, "compare", unseen=True, weight=3
    ),
)
