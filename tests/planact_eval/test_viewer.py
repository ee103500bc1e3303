"""The viewer: what it says of episodes, which files it reads, and that hostile text stays text (in a browser: test_viewer_browser.py)."""

import base64
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from planact.failures import explain
from planact.store import RunStore, StoreError
from planact.types import Observation, Outcome, StopReason, to_dict
from planact_eval.asking import identity
from planact_eval.episode_list import text_limit
from planact_eval.episode_view import MAX_TEXT
from planact_eval.pictures import Pictures, inside
from planact_eval.viewer import write_viewer
from tests.planact_eval.hostile import PAYLOADS
from tests.planact_eval.viewer_runs import IDS, REPO, SETTINGS, episode, page, planned_episode, write_run

PRICE, SKU, POINTS, RELEASE = IDS
PNG = b"\x89PNG\r\n\x1a\n and the rest of a picture"


class Elements(HTMLParser):
    """All start tags of a page, with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def view(folder, *others, full=False):
    return write_viewer([folder, *others], folder / "view.html", full).read_text()


def words(html):
    """The page's text on one line, as a reader sees it."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html[html.index("<main>") : html.index("<script>")])).split())


def test_a_failed_episode_can_be_read_and_says_why(tmp_path):
    text, why = words(view(write_run(tmp_path / "run", {RELEASE: planned_episode(RELEASE)}))), explain(planned_episode(RELEASE))
    for expected in [
        "executor some model solved 0 of 1, 0.0% (95% interval 0.0% to 79.3%) failed 1",
        f"code.release.000 · code failure {why.kind.capitalize()}: {why.message} 3 turns",  # the line of the list
        "3 turns · 1 replan · 2,144 tokens · 3.0 s · price unknown",  # 900 + 10 + 1200 + 34
        f"Scorer: answer: expected '43', got '42' {why.kind.capitalize()}, say the rules: {why.message} The judge",
        "The judge of fuzzy_match, judge-model: no The answers differ: NO",
        "The planner's plan The planner's reasoning Find the order. open the page of the order because of open the page of the order",
        "planner: 900 + 10 tokens, 1.2 s, 2 calls, $0.5000",
        "1 click link 'Open home' The page it saw: home (http://shop/home), 36 characters page 'home' link 'Open home' [1] end",
        "The executor's reasoning The order is behind this link. do(1) → now on order (http://shop/order)",
        "executor: 1,200 + 34 tokens, 0.5 s, price unknown",
        "The planner's answer could not be read, so the plan in force stays no plan found",
        "2 unreadable answer",
        "No effect: no action",
        "open the page of the last order refined open the page of the order because",
        "report '42' new because of report '42' report it removed",
        "3 stop '42'",
        "The end: the executor stopped with an answer, and the answer is 42 . Last page: order (http://shop/order) page 'order'",
    ]:
        assert expected in text, expected


def test_the_line_that_was_acted_on_is_marked(tmp_path):
    html = view(write_run(tmp_path / "run", {PRICE: episode(PRICE, False)}))
    assert html.count("<mark>") == 1 and "<mark>link &#39;Open page0&#39; [1]</mark>" in html


def test_every_episode_can_be_chosen_by_what_it_is(tmp_path):
    broken = episode(POINTS, None, stop_reason=StopReason.ENV_ERROR, error="the site is down")
    other_task = replace(episode(RELEASE, True), task_hash="of an older version")
    found = {POINTS: broken, SKU: episode(SKU, True, 4), PRICE: episode(PRICE, False), RELEASE: other_task}
    html = view(write_run(tmp_path / "run", found))
    page = Elements(html)
    rows = [attributes for attributes in page.of("details") if "data-site" in attributes]
    template = "data-template"
    assert [(row["data-site"], row[template]) for row in rows] == [
        ("shop", "shop.price"),  # as planned, whatever ended first
        ("shop", "shop.sku"),
        ("forum", "forum.points"),
        ("", ""),  # another task had this id when the run was made
    ]
    sides = [attributes for attributes in page.of("span") if attributes.get("class") == "side"]
    assert [(s["data-verdict"], s["data-kind"], s["data-stop"], s["data-turns"]) for s in sides] == [
        ("failure", explain(found[PRICE]).kind, "answered", "2"),
        ("success", "", "answered", "4"),
        ("error", "environment", "env_error", "2"),
        ("success", "", "answered", "2"),
    ]
    assert [s["data-tokens"] for s in sides[:2]] == ["315", "535"]  # 110 a click and 205 a stop: 110 + 205, 3 * 110 + 205
    assert "Verdict all error (1) failure (1) success (2)" in words(html) and "How it ended all answered (3) env error (1)" in words(html)
    assert "still to run 108" in words(html)  # of 112


def test_two_runs_stand_side_by_side(tmp_path):
    one = write_run(tmp_path / "one", {PRICE: episode(PRICE, True), SKU: episode(SKU, False), POINTS: episode(POINTS, False)})
    changed = replace(episode(POINTS, None), task_hash="another")
    found = {PRICE: episode(PRICE, False), SKU: episode(SKU, True), POINTS: changed, RELEASE: episode(RELEASE, True)}
    html = view(one, write_run(tmp_path / "two", found, ["name=tiny/other"]))
    page, text = Elements(html), words(html)
    assert [row["data-differs"] for row in page.of("details") if "data-site" in row] == ["first", "second", "other", ""]
    assert [a["class"] for a in page.of("article")].count("episode") == 7
    assert "tiny/react and tiny/other" in text and "tiny/react has not run it." in text
    assert "The two runs were given different tasks under this name." in text
    assert "verdict differs (3) only tiny/react solved it (1) only tiny/other solved it (1)" in text


def test_two_runs_of_one_recipe_are_told_apart_by_their_folders(tmp_path):
    one, two = (write_run(tmp_path / name, {PRICE: episode(PRICE, True)}) for name in ("run-1", "run-2"))
    assert "run-1 and run-2" in words(view(one, two))
    other = write_run(tmp_path / "elsewhere" / "run-1", {PRICE: episode(PRICE, True)})
    assert f"{one} and {other}" in words(view(one, other))


def test_runs_without_a_task_in_common_are_refused(tmp_path):
    one, two = (write_run(tmp_path / id, {id: episode(id, True)}) for id in (PRICE, SKU))
    with pytest.raises(StoreError, match="no task in common; name two runs on one benchmark"):
        view(one, two)


def test_repeats_retries_and_judges_are_told(tmp_path):
    found = {PRICE: episode(PRICE, True), f"{PRICE}#1": episode(PRICE, False, seed=1), SKU: episode(SKU, True)}
    broken = episode(PRICE, None, stop_reason=StopReason.MODEL_ERROR, error="no answer in 60 s")
    said = {"kind": "grounding", "message": "it clicked the wrong link", "source": "judge", "of": identity(to_dict(found[f"{PRICE}#1"]))}
    judged = {f"{PRICE}#1": said, SKU: said | {"message": "said of an episode that was replaced"}}
    text = words(view(write_run(tmp_path / "run", found, ["eval.repeats=2"], [(PRICE, broken)], judged)))
    assert text.count("1 of 2 repeats solved") == 4 and "Seed 1; 1 of 2 repeats solved." in text  # in the list and in the episode
    assert "An earlier attempt was replaced by a retry: no answer in 60 s" in text
    assert "Grounding, says the judge: it clicked the wrong link" in text and "was replaced" not in text.replace("attempt was replaced", "")


def test_one_file_that_loads_nothing_and_runs_one_script(tmp_path):
    html = view(write_run(tmp_path / "run", {PRICE: episode(PRICE, False)}))
    page = Elements(html)
    [policy] = [meta["content"] for meta in page.of("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    for tag in ("script", "style"):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}';" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "require-trusted-types-for 'script'" in policy
    assert not {"a", "link", "iframe", "img", "object", "base"} & {tag for tag, _ in page.found}
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on") or name in ("style", "src", "href")]
    script = re.search(r"<script>(.*)</script>", html, re.S)[1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|setAttribute|createElement|fetch|location", script)


def test_hostile_text_adds_no_element_and_no_attribute(tmp_path):
    text = "".join(PAYLOADS).replace("A" * 200_000, "")
    hostile = Observation(text, text, text, text, (text, text), text, text)
    turns = tuple(
        replace(
            turn,
            observation=hostile,
            response=text,
            plan_response=text,
            plan_failure=replace(turn.plan_failure, message=text) if turn.plan_failure else None,
        )
        for turn in planned_episode(PRICE).turns
    )
    fields = {"turns": turns, "intent": text, "answer": text, "error": text, "final": hostile, "outcome": Outcome(False, text, text)}
    clean = view(write_run(tmp_path / "clean", {PRICE: planned_episode(PRICE)}))
    dirty = view(write_run(tmp_path / "dirty", {PRICE: replace(planned_episode(PRICE), **fields)}, settings=SETTINGS | {"scorer": text}))
    shape = [(tag, sorted(attributes)) for tag, attributes in Elements(clean).found]
    found = [(tag, sorted(attributes)) for tag, attributes in Elements(dirty).found]
    kinds = {(tag, *attributes) for tag, attributes in shape}
    assert {(tag, *attributes) for tag, attributes in found} <= kinds
    body = dirty[dirty.index("<main>") :]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", body) and "{{ 7 * 7 }}" in body


def test_long_texts_are_cut_to_one_length_that_fits_and_full_shows_them(tmp_path, monkeypatch):
    monkeypatch.setattr("planact_eval.viewer.MAX_TEXTS", 10_000)
    long = Observation("start\n" + "x" * 30_000 + "\nend of it", "", "http://shop/", "Shop")
    turns = tuple(replace(turn, observation=long) for turn in episode(PRICE, False, 4).turns)
    run = write_run(tmp_path / "run", {PRICE: replace(episode(PRICE, False), turns=turns)})
    html = view(run)
    assert "Pages longer than 2,4" in html and "more characters are not shown" in html and "end of it" not in html
    assert len(html) < 40_000
    whole = view(run, full=True)
    assert whole.count("end of it") == 4 and "not shown" not in words(whole) and len(whole) > 120_000


@pytest.mark.parametrize(
    ("lengths", "room", "limit"),
    [
        ([], 100, MAX_TEXT),
        ([30_000, 30_000], 10**6, MAX_TEXT),
        ([2_000, 9_000, 9_000], 10_000, 4_000),  # the short one is whole; 8,000 are left for two
        ([9_000] * 100, 10_000, 1_000),  # never less than MIN_TEXT
    ],
)
def test_text_limit(lengths, room, limit):
    assert text_limit(lengths, room) == limit


def test_screenshots_come_from_the_run_folder_only(tmp_path):
    run = tmp_path / "run-1"
    (run / "screenshots").mkdir(parents=True)
    secret = tmp_path / "secret.png"
    for path in (run / "screenshots/a.png", secret):
        path.write_bytes(PNG)
    (run / "screenshots/link.png").symlink_to(secret)
    os.mkfifo(run / "screenshots/pipe.png")
    recorded = "elsewhere/runs/run-1/screenshots/a.png"  # on the machine that ran it
    assert inside(run, recorded) == run / "screenshots/a.png" == inside(run, str(run / "screenshots/a.png"))
    for wrong in (
        str(secret),
        "/etc/passwd",
        "run-1/../secret.png",
        "run-1//etc/passwd",
        "run-1/screenshots/../../secret.png",
        "run-1/screenshots/link.png",
        "run-1/screenshots/pipe.png",
        "run-1/screenshots",
        "run-1/none.png",
        "run-1/" + "x" * 5000,
        "run-1/a\0.png",
        "run-1",
        "",
    ):
        assert inside(run, wrong) is None, wrong


def test_screenshots_are_shown_as_far_as_there_is_room(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name, content in {"a.png": PNG, "b.png": PNG, "c.png": b"<svg onload=x>"}.items():
        (run / name).write_bytes(content)
    pictures = Pictures(run, room=len(PNG) + 20)
    shown = [pictures(page("p", screenshot=f"run/{name}")) for name in ("a.png", "a.png", "b.png", "c.png", "d.png")]
    assert shown == [
        (f"data:image/png;base64,{base64.b64encode(PNG).decode()}", ""),
        ("", "the same as above"),
        ("", "0.0 MB, left out; --full shows it"),
        ("", "the file is no PNG"),
        ("", "the file is not in the run folder"),
    ]
    assert pictures(page("p")) == ("", "")
    drawn = episode(PRICE, True, final=page("last", screenshot="run/a.png"))
    html = view(write_run(tmp_path / "x" / "run", {PRICE: drawn}))
    assert "the file is not in the run folder" in html and "<img" not in html


def test_a_folder_without_a_run_is_refused_with_the_next_move(tmp_path):
    with pytest.raises(StoreError, match="is no run folder: it has no run.sqlite; name one of runs/eval/"):
        view(tmp_path)
    with pytest.raises(StoreError, match="no finished episode yet"):
        view(write_run(tmp_path / "run", {}))
    old = write_run(tmp_path / "old", {PRICE: episode(PRICE, True)})
    with RunStore.open(old / "run.sqlite", SETTINGS) as store:
        store.put(PRICE, store.get(PRICE, "trajectory") | {"new_field": 1}, "trajectory", replace=True)
    with pytest.raises(StoreError, match=f"the episode {PRICE} was stored by another version of planact: .*new_field"):
        view(old)


def test_the_script_prints_where_it_wrote(tmp_path):
    one, two = (write_run(tmp_path / name, {PRICE: episode(PRICE, True)}) for name in ("one", "two"))
    for arguments, out in (([one], one / "view.html"), ([one, two, "--full", "--out", tmp_path / "both.html"], tmp_path / "both.html")):
        command = [sys.executable, REPO / "scripts/view.py", *arguments]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout == f"{out}\n" and out.read_text().count('class="episode"') == (1 if arguments == [one] else 2)


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    run = write_run(tmp_path / "run", {PRICE: episode(PRICE, True)})
    with pytest.raises(StoreError, match="cannot write .*none/view.html: No such file or directory; name another file with --out"):
        write_viewer([run], tmp_path / "none" / "view.html")
    before = view(run)
    assert view(run) == before and not list(run.glob(".*"))  # the same input, the same bytes
