"""Broken recipes: every one raises RecipeError and nothing else, naming the place and the key."""

import contextlib
import dataclasses
import typing

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planact import recipe_yaml
from planact.recipe import Agent, Data, Eval, RecipeError, load_recipe, resolve
from planact.recipe_yaml import MAX_BYTES, Node, compose, plain, read_override

HEAD = "name: row\nseed: 3\nbase_model: org/model\n"
SERVER = "base_url: http://x/v1, model: m"
SECTIONS = {"agent": Agent, "data": Data, "eval": Eval}

# What follows HEAD (from line 4), the line of the error, and words that the message holds.
CORPUS = [
    ("agnet: {}\n", 4, "unknown key 'agnet' at the top level; did you mean 'agent'?"),
    ("agent:\n  planner: base\n  replann: never\n", 6, "unknown key 'replann' in section 'agent'; did you mean 'replan'?"),
    ("agent: {Replan: never}\n", 4, "did you mean 'replan'?"),
    ("agent: {zzz: 1}\n", 4, "unknown key 'zzz' in section 'agent'; valid keys: planner, executor"),
    ("max_turns: 3\n", 4, "unknown key 'max_turns' at the top level|('max_turns' belongs to agent)"),
    ("learning_rate: 2e-5\n", 4, "'learning_rate' belongs to sft"),
    ("agent:\n  base_model: x\n", 5, "'base_model' belongs to the top level"),
    ("agent:\n  max_turns: '30'\n", 5, "agent.max_turns: expected a whole number, found the text '30'"),
    ("agent: {max_turns: 30.0}\n", 4, "agent.max_turns: expected a whole number, found the number 30.0"),
    ("agent: {max_turns: true}\n", 4, "agent.max_turns: expected a whole number, found true, which YAML reads as true"),
    ("agent: {max_turns: null}\n", 4, "agent.max_turns: expected a whole number, found null"),
    ("agent: {max_turns: }\n", 4, "agent.max_turns: expected a whole number, found nothing"),
    ("agent: {max_turns: [1]}\n", 4, "agent.max_turns: expected a whole number, found a list"),
    ("agent: {max_turns: {}}\n", 4, "agent.max_turns: expected a whole number, found a mapping"),
    ("agent: {max_turns: 0}\n", 4, "agent.max_turns: expected at least 1, found the number 0"),
    ("agent: {replan_every: -1}\n", 4, "agent.replan_every: expected at least 1"),
    ("agent: {temperature: hot}\n", 4, "agent.temperature: expected a number, found the text 'hot'"),
    ("agent: {temperature: yes}\n", 4, "agent.temperature: expected a number, found yes, which YAML reads as true"),
    ("agent: {temperature: -0.1}\n", 4, "agent.temperature: expected at least 0"),
    ("agent: {temperature: .nan}\n", 4, "the number .nan is not a finite number"),
    ("agent: {temperature: 1e999}\n", 4, "the number 1e999"),
    ("agent: {max_turns: 99999999999999999999}\n", 4, "the number 99999999999999999999"),
    ("agent: {max_turns: " + "9" * 5000 + "}\n", 4, "the number 999"),
    ("agent: {replan: sometimes}\n", 4, "agent.replan: expected one of 'never', 'every_turn', 'every_k', 'on_trigger'"),
    ("agent: {replan: every_tun}\n", 4, "did you mean 'every_turn'?"),
    ("agent: {planner: no}\n", 4, "agent.planner: expected one of 'none', 'base', 'trained', found no, which YAML reads as false"),
    ("agent: {planner: null}\n", 4, "agent.planner: expected one of|found null"),
    ("agent:\n", 4, "section 'agent' is empty; write `{}`"),
    ("agent: []\n", 4, "agent: expected a mapping (`key: value` lines), found a list"),
    ("agent: base\n", 4, "agent: expected a mapping|found the text 'base'"),
    ("description: 3\n", 4, "description: expected text, found the number 3; quote it"),
    ("description: no\n", 4, "description: expected text, found no, which YAML reads as false; quote it"),
    ("description: null\n", 4, "description: expected text, found null"),
    ("data: {planner: plan}\n", 4, "data.planner: expected a list of one of 'plan', 'replan', found the text 'plan'"),
    ("data:\n  planner:\n  - plan\n  - act\n", 7, "data.planner[1]: expected one of 'plan', 'replan', found the text 'act'"),
    ("data: {executor: [act, act]}\n", 4, "data.executor: 'act' stands in the list twice"),
    ("data: {executor: [[act]]}\n", 4, "data.executor[0]: expected one of|found a list"),
    ("data: {teacher_error_rate: 1.5}\n", 4, "data.teacher_error_rate: expected a value from 0 to 1, found the number 1.5"),
    ("data: {near_duplicate: -1}\n", 4, "data.near_duplicate: expected a value from 0 to 1"),
    ("data: {tasks: all}\n", 4, "data.tasks: expected a whole number or null, found the text 'all'"),
    ("data: {tasks: 0}\n", 4, "data.tasks: expected at least 1"),
    ("data: {teacher: endpoint}\n", 4, "data.teacher: 'endpoint' needs a model; add endpoints.teacher"),
    ("eval: {serving: endpoint}\n", 4, "eval.serving: 'endpoint' needs a model; add endpoints.executor"),
    (f"endpoints: {{executor: {{{SERVER}}}}}\nagent: {{}}\neval: {{serving: endpoint}}\n", 6, "eval.serving|add endpoints.planner"),
    ("agent:\n  planner: none\n  replan: every_turn\n", 6, "agent.replan: 'every_turn' needs a planner"),
    ("eval: {split: dev}\n", 4, "eval.split: expected one of 'train', 'validation', 'test', found the text 'dev'"),
    ("endpoints: null\n", 4, "endpoints: expected a mapping"),
    ("endpoints: {jugde: {}}\n", 4, "unknown key 'jugde' in section 'endpoints'"),
    ("endpoints: {executer: {}}\n", 4, "did you mean 'executor'?"),
    ("endpoints:\n  teacher:\n    model: m\n", 5, "the key 'base_url' is missing in section 'endpoints.teacher'; add `base_url: text`"),
    ("endpoints: {teacher: {base_url: http://x/v1}}\n", 4, "the key 'model' is missing in section 'endpoints.teacher'"),
    ("endpoints: {teacher: {base_url: localhost:8000, model: m}}\n", 4, "endpoints.teacher.base_url: expected a URL such as"),
    (f"endpoints: {{teacher: {{{SERVER}, api_key: sk-1}}}}\n", 4, "unknown key 'api_key'|did you mean 'api_key_env'?"),
    (f"endpoints: {{teacher: {{{SERVER}, timeout: 0}}}}\n", 4, "endpoints.teacher.timeout: expected at least"),
    (f"endpoints: {{teacher: {{{SERVER}, usd_per_m_prompt: free}}}}\n", 4, "usd_per_m_prompt: expected a number or null"),
    ("sft:\n  learning_rat: 1\n", 5, "unknown key 'learning_rat' in section 'sft'; did you mean 'learning_rate'?"),
    ("sft:\n  planner:\n    lora_rank: 8\n", 6, "unknown key 'lora_rank' in section 'sft.planner'; did you mean|'lora_r'?"),
    ("sft: {max_seq_length: 8}\n", 4, "'max_seq_length'|did you mean 'max_length'?"),
    ("sft: {evaluation_strategy: epoch}\n", 4, "did you mean 'eval_strategy'?"),
    ("sft: {planner: 8}\n", 4, "sft.planner: expected a mapping of TRL settings|found the number 8"),
    ("sft: {planner: {planner: {}}}\n", 4, "unknown key 'planner' in section 'sft.planner'"),
    ("sft: [a]\n", 4, "sft: expected a mapping"),
    ("sft:\n", 4, "section 'sft' is empty"),
    ("seed: 4\n", 4, "the key 'seed' is set twice in this mapping|:2; keep one"),
    ("agent:\n  replan: never\n  max_turns: 3\n  replan: never\n", 7, "the key 'replan' is set twice"),
    ("data: !!python/object/apply:os.system [ls]\n", 4, "the tag !!python/object/apply:os.system is refused"),
    ("data: !!python/name:os.system\n", 4, "the tag !!python/name:os.system is refused"),
    ("data: !!set {a}\n", 4, "the tag !!set is refused"),
    ("data: !custom x\n", 4, "the tag !custom is refused"),
    ("? [a]\n: 1\n", 4, "a key must be plain text"),
    ("? !!python/name:os x\n: 1\n", 4, "a key must be plain text"),
    ("1: x\n", 4, "unknown key '1'"),
    ("data: &d {}\nagent: {<<: *d}\n", 5, "merge keys (<<) are refused"),
    ("data: &d [*d]\n", 4, "*d has no complete &d above it"),
    ("data: *d\n", 4, "*d"),
    ("---\nname: b\n", 4, "a second document starts here"),
    ("agent: {\n", 5, "not valid YAML"),
    ("agent:\n\treplan: never\n", 5, "not valid YAML"),
    ("a: b: c\n", 4, "not valid YAML: mapping values are not allowed"),
    ("description: \x00\n", 4, "the character '\\x00' cannot stand in YAML"),
    ('description: "\\ud800"\n', 4, ""),
    ('description: "\\UFFFFFFFF"\n', None, "not valid YAML"),
    ("data: " + "[" * 30 + "]" * 30 + "\n", 4, "nested more than 20 levels deep"),
    ("data: [" + "1, " * 11_000 + "]\n", 4, "more than 10,000 values"),
    ("extends: 3\n", 4, "extends: expected the name of one parent file"),
    ("extends: [a.yaml, b.yaml]\n", 4, "extends: expected the name of one parent file"),
    ("extends:\n", 4, "extends: expected the name of one parent file"),
    ('extends: "\\0"\n', 4, "extends: cannot read"),
    ("extends: .\n", 4, "extends: cannot read"),
    ("extends: missing/base.yaml\n", 4, "extends: no file"),
]


def refused(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    message = str(caught.value)
    assert len(message) < 700
    return message


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="a.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


@pytest.mark.parametrize("text, line, words", CORPUS, ids=lambda value: str(value)[:40])
def test_corpus(write, text, line, words):
    path = write(HEAD + text)
    message = refused(path)
    assert message.startswith(f"{path}:{line}: " if line else str(path)), message
    for part in words.split("|"):
        assert part in message


def fields(kind):
    return [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("section, key", [(section, key) for section, kind in SECTIONS.items() for key in fields(kind)])
def test_a_typo_in_any_key_names_the_right_one(write, section, key):
    message = refused(write(HEAD + f"{section}:\n  {key}x: 1\n"))
    assert f":5: unknown key '{key}x' in section '{section}'; did you mean '{key}'" in message


@pytest.mark.parametrize("section, key", [(section, key) for section, kind in SECTIONS.items() for key in fields(kind)])
def test_a_mapping_is_the_wrong_type_for_any_key(write, section, key):
    wrong = "[1]" if key in ("max_rows", "imports") else "{a: 1}"  # the two keys that want a mapping
    assert f":5: {section}.{key}: expected " in refused(write(HEAD + f"{section}:\n  {key}: {wrong}\n"))


@pytest.mark.parametrize("section, key", [(section, key) for section, kind in SECTIONS.items() for key in fields(kind)])
def test_null_is_refused_unless_the_field_is_optional(write, section, key):
    path = write(HEAD + f"{section}:\n  {key}: null\n")
    if type(None) in typing.get_args(typing.get_type_hints(SECTIONS[section])[key]):
        assert getattr(getattr(load_recipe(path), section), key) is None
    else:
        assert f"{section}.{key}: expected " in refused(path)


@pytest.mark.parametrize("key", ["name", "seed", "base_model"])
def test_required_scalars(write, key):
    text = "".join(line + "\n" for line in HEAD.splitlines() if not line.startswith(key))
    assert f"the key '{key}' is missing at the top level" in refused(write(text)).replace(" in the ", " at the ")


@pytest.mark.parametrize("name", ["''", "../up", "a/../b", "/abs", ".hidden", "two words", "a//b", "3"])
def test_names_that_are_no_folder(write, name):
    assert ":1: name: expected " in refused(write(HEAD.replace("row", name)))


@pytest.mark.parametrize("seed", ["-1", "4294967296", "1.0", "true", "x"])
def test_seeds(write, seed):
    assert ":2: seed: expected " in refused(write(HEAD.replace("3", seed)))


@pytest.mark.parametrize("key", ["sk-abc123", "'two words'", "123456789", "lower_case"])
def test_an_api_key_is_refused_and_never_shown(write, key):
    shown = key.strip("'")
    message = refused(write(HEAD + f"endpoints:\n  teacher:\n    base_url: http://x/v1\n    model: m\n    api_key_env: {key}\n"))
    assert ":8: endpoints.teacher.api_key_env: expected the NAME of an environment variable" in message and shown not in message
    good = write(HEAD + f"endpoints: {{teacher: {{{SERVER}}}}}\n")
    message = refused(good, f"endpoints.teacher.api_key_env={key}")
    assert message.startswith("--set endpoints.teacher.api_key_env: ") and shown not in message


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", ": the file is empty"),
        (b"# only a comment\n", ": the file is empty"),
        (b"null\n", ": the file is empty"),
        (b"- a\n- b\n", ":1: expected `key: value` lines at the top level, found a list"),
        (b"just text\n", ":1: expected `key: value` lines"),
        (b"name: a\ndescription: caf\xe9\n", ":2: byte 0xe9 is not UTF-8"),
        (b"\xff\xfen\x00", ":1: byte 0xff is not UTF-8"),
        (b"a" * (MAX_BYTES + 1), " is larger than 1,000,000 bytes"),
        (b"[" * 900_000, ":1: nested more than 20 levels deep"),
    ],
)
def test_files_that_hold_no_recipe(write, data, words):
    assert words in refused(write(data))


def test_missing_file_names_its_neighbours(tmp_path, write):
    write(HEAD, "plan_and_act.yaml")
    assert refused(tmp_path / "plan_and_akt.yaml").endswith("did you mean plan_and_act.yaml?")
    assert refused(tmp_path / "zzz.yaml").endswith(f"YAML files in {tmp_path}: plan_and_act.yaml")
    assert "cannot be read either" in refused(tmp_path / "no" / "a.yaml")
    assert "cannot read" in refused(tmp_path)


def test_alias_bomb(write):
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 10))
    assert "more than 10,000 values once aliases" in refused(write(HEAD + "l0: &l0 [x]\n" + levels))
    chain = "".join(f"l{n}: &l{n} [*l{n - 1}]\n" for n in range(1, 100))
    assert "nested more than 20 levels" in refused(write(HEAD + "l0: &l0 [x]\n" + chain))


def test_error_in_a_parent_names_the_parent(tmp_path, write):
    write(HEAD + "agent:\n  replann: never\n", "base.yaml")
    assert refused(write("extends: base.yaml\nagent: {max_turns: 4}\n")).startswith(f"{tmp_path / 'base.yaml'}:5: unknown key 'replann'")
    write(HEAD + "agent:\n  planner: base\n", "base.yaml")
    assert refused(write("extends: base.yaml\n\nagent:\n  max_turns: x\n")).startswith(f"{tmp_path / 'a.yaml'}:4: agent.max_turns")


def test_unknown_parent_names_file_line_and_near_names(write):
    write(HEAD, "base.yaml")
    path = write("name: b\nextends: bas.yaml\n")
    message = refused(path)
    assert message.startswith(f"{path}:2: extends: no file ") and message.endswith("did you mean base.yaml?")


@pytest.mark.parametrize("files", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_a_circle_of_parents(write, files):
    for name, parent in zip(files, files[1:] + files[:1], strict=True):
        write(HEAD + f"extends: {parent}.yaml\n", f"{name}.yaml")
    message = refused(write(HEAD + f"extends: {files[1 % len(files)]}.yaml\n"))
    assert ":4: extends goes in a circle: " in message and all(f"{name}.yaml" in message for name in files)


@pytest.mark.parametrize(
    "override, words",
    [
        ("agent.replan", "expected section.key=value"),
        ("", "expected section.key=value"),
        ("=x", "'' is not a key"),
        ("agent..replan=x", "'agent..replan' is not a key"),
        ("sft" + ".a" * 100 + "=x", "is not a key"),
        ("agent.replann=never", "unknown key 'replann' in section 'agent'; did you mean 'replan'?"),
        ("agnt.replan=never", "unknown key 'agnt' at the top level; did you mean 'agent'?"),
        ("agent.max_turns=x", "agent.max_turns: expected a whole number, found the text 'x'"),
        ("agent.max_turns.x=1", "agent.max_turns: expected a whole number, found a mapping"),
        ("name=", "name: expected text, found nothing"),
        ("name=[", "not valid YAML"),
        ("agent={a: 1, a: 2}", "the key 'a' is set twice"),
        ("seed=!!python/name:os.system", "is refused"),
        ("seed=\udcff", "cannot stand in YAML"),
        ("extends=b.yaml", "extends cannot be overridden"),
        ("sft.lr=1", "unknown key 'lr' in section 'sft'"),
    ],
)
def test_an_override_error_names_the_override(write, override, words):
    message = refused(write(HEAD), override)
    assert message.startswith(f"--set {override}: ") and words in message


PIECES = ["agent:", "  replan: x", "data: {", "}", "- a", "sft: &a", "x: *a", "? k", ": v", "seed: 1", "k: >", "'", "!t", "---"]
LINES = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=12).map("\n".join)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, recipe_yaml._LOADER])
@given(text=LINES | st.text())
def test_no_text_raises_anything_else(loader, text):
    before, recipe_yaml._LOADER = recipe_yaml._LOADER, loader
    try:
        with contextlib.suppress(RecipeError):
            resolve(compose(HEAD + text, str))
        with contextlib.suppress(RecipeError):
            plain(compose(text, str))
    finally:
        recipe_yaml._LOADER = before


@given(st.text())
def test_no_override_raises_anything_else(text):
    with contextlib.suppress(RecipeError):
        resolve(Node({}, "x"), [read_override(text)])


@given(st.binary())
def test_no_bytes_raise_anything_else(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(data)
    with pytest.raises(RecipeError):
        load_recipe(path)
