"""Our scorers beside the originals' own classes, on every deterministic task and many answers and addresses. BrowserGym's class is
read from its file without its package, which would pull in another stack; VisualAgentBench's is on no package registry."""

import importlib.util
import json
import sys
from importlib import metadata
from types import ModuleType, SimpleNamespace

import pytest
from nltk.tokenize import NLTKWordTokenizer

from planact_envs.scoring import browsergym, rules
from planact_envs.scoring.ending import Ending
from planact_envs.webarena.sites import SITES, Sites
from planact_envs.webarena.tasks import INSTALLED, installed_file, load_tasks

HOSTED = Sites({site: f"http://{site}.test".replace("_", "-") for site in SITES}, {})
ORIGINALS = {
    "webarena-lite": ("browsergym-webarenalite", "browsergym/webarenalite/evaluators.py", browsergym.RULES),
    "webarena": ("libwebarena", "webarena/evaluation_harness/evaluators.py", browsergym.WEBARENA),
}
STANDS = ("helper_functions", "browser_env", "browser_env.actions", "browser_env.utils")  # what the classes import and do not use here


class Anything(ModuleType):
    """A module that has every name, and each is a function that gives back what it is given."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda thing=None, *_: thing


@pytest.fixture(params=list(ORIGINALS))
def original(request, monkeypatch):
    """(the original's module, our rules, the suite)."""
    distribution, name, ours = ORIGINALS[request.param]
    file = installed_file(distribution, name)
    if file is None or not any(installed_file(*place) for place in INSTALLED[request.param]):
        pytest.skip(f"{distribution} is not installed: pip install --no-deps {distribution}")
    assert metadata.version(distribution)
    typing_names = Anything("types")
    typing_names.Action = typing_names.StateInfo = dict
    typing_names.Page = typing_names.CDPSession = typing_names.PseudoPage = object
    tokenizer = Anything("nltk.tokenize")
    tokenizer.word_tokenize = NLTKWordTokenizer().tokenize
    for module in ("beartype", "playwright.sync_api", "webarena", "webarena.browser_env", "originals", "originals.inner"):
        monkeypatch.setitem(sys.modules, module, typing_names)
    for module in STANDS:
        monkeypatch.setitem(sys.modules, f"originals.{module}", typing_names)
        monkeypatch.setitem(sys.modules, f"originals.inner.{module}", typing_names)
    monkeypatch.setitem(sys.modules, "nltk.tokenize", tokenizer)
    spec = importlib.util.spec_from_file_location("originals.inner.evaluators", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, ours, request.param


def answers_to(task, others):
    """The reference, changes of it, and answers to other tasks."""
    text = json.dumps(task.eval["reference_answers"])
    values = list(task.eval["reference_answers"].values())
    words = ", ".join(values[0]) if isinstance(values[0], list) else str(values[0])
    changed = [words, words.upper(), f" {words} ", f'"{words}"', f"'{words}'", f"x{words}y", f"It is {words}.", words[:-1], words[::-1]]
    return [*changed, " ".join(reversed(words.split())), words.replace(", ", " and "), "", "N/A", "n/a", text, *others]


def addresses_for(reference):
    first = reference.split(rules.OR)[0]
    bare, _, query = first.partition("?")
    reordered = f"{bare}?{'&'.join(reversed(query.split('&')))}"
    return [
        *reference.split(rules.OR),
        f"{first}/",
        f"{bare}/extra?{query}",
        reordered,
        f"{first}&x=1",
        f"{first}?x=1",
        bare,
        f"x{first}",
        "",
    ]


@pytest.mark.slow
async def test_answers_are_judged_as_by_the_original(original, tmp_path):
    module, ours, suite = original
    tasks = [task for task in load_tasks(suite, "test") if task.eval["reference_answers"]]
    tasks = [task for task in tasks if "fuzzy_match" not in task.eval["reference_answers"]]
    others = [str(next(iter(task.eval["reference_answers"].values()))) for task in tasks[:20]]
    compared = 0
    for task in tasks:
        config = tmp_path / "task.json"
        config.write_text(json.dumps({"intent": task.intent, "eval": dict(task.eval)}))
        for answer in answers_to(task, others):
            try:
                theirs = module.StringEvaluator()([{}, {"answer": answer}], config) == 1.0
            except AssertionError:  # task 349 asserts on every answer
                theirs = None
            try:
                faults, _ = await rules.answer_check(ours, task, Ending(answer, None, HOSTED))
                mine = not faults
            except rules.Unscorable:
                mine = None
            assert mine == theirs, (task.id, answer)
            compared += 1
    assert compared > 1000


@pytest.mark.slow
def test_addresses_are_judged_as_by_the_original(original, tmp_path):
    module, ours, suite = original
    compared = 0
    for task in load_tasks(suite, "test"):
        if "url_match" not in task.eval["eval_types"]:
            continue
        spec = HOSTED.resolve(dict(task.eval))
        config = tmp_path / "task.json"
        config.write_text(json.dumps({"eval": spec}))
        for url in addresses_for(spec["reference_url"]):
            theirs = module.URLEvaluator()([], config, SimpleNamespace(url=url)) == 1.0
            assert ours.same_page(spec["reference_url"], url, spec.get("url_note")) == theirs, (task.id, url)
            compared += 1
    assert compared > 300
