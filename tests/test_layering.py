"""Which room may import which, and what no file may do. All of it is read from the source text."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {  # room -> the rooms that it may import beside itself
    "planact": set(),
    "planact_envs": {"planact"},
    "planact_data": {"planact", "planact_envs"},
    "planact_train": {"planact", "planact_envs"},
    "planact_eval": {"planact", "planact_envs"},
}
OURS = {*ALLOWED, "scripts", "benchmarks", "tests"}
HEAVY = {"torch", "transformers", "trl", "peft", "accelerate", "datasets", "playwright", "vllm", "ray"}
LIGHT = {"planact", "yaml", "cython_runtime"}  # what `import planact.recipe` loads beside the standard library and private modules

UNSAFE_NAMES = {"eval", "exec", "compile", "__import__"}
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
SAFE_YAML_LOADERS = {"SafeLoader", "CSafeLoader"}
SHELLS = {("os", "system"), ("os", "popen"), ("subprocess", "getoutput"), ("subprocess", "getstatusoutput")}


def files_of(*folders):
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def name_of(file):
    return str(file.relative_to(ROOT))


def imports(source, package=""):
    """Every module that the source imports at any level, as (line, dotted name). `package` is the one that holds the file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            yield node.lineno, ".".join([*parents, *filter(None, [node.module])])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__"):
            target = node.args[0] if node.args else None
            yield node.lineno, target.value if isinstance(target, ast.Constant) else "?"


def imports_of(file):
    package = ".".join(file.relative_to(ROOT).parent.parts)
    return [(line, module.split(".")[0]) for line, module in imports(file.read_text(), package)]


def unsafe(source):
    """What no file may do, as (line, text)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in UNSAFE_NAMES:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module, name = node.value.id, node.attr
            loader = "load" in name.lower() and not name.startswith("safe_") and name not in SAFE_YAML_LOADERS
            if (module == "builtins" and name in UNSAFE_NAMES) or (module, name) in SHELLS or (module == "yaml" and loader):
                yield node.lineno, f"{module}.{name}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((node.lineno, name) for name in names if name.split(".")[0] in UNSAFE_MODULES)
            if isinstance(node, ast.ImportFrom) and node.module == "yaml":
                yield node.lineno, "from yaml import: write yaml.name, which this test can read"
        if isinstance(node, ast.Call):
            yield from ((node.lineno, k.arg) for k in node.keywords if k.arg == "shell" and not is_false(k.value))
            yield from ((node.lineno, k.arg) for k in node.keywords if k.arg == "trust_remote_code" and not is_false(k.value))
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in ("shell", "trust_remote_code") and is_true(value):
                    yield key.lineno, key.value


def is_false(node):
    return isinstance(node, ast.Constant) and node.value is False


def is_true(node):
    return isinstance(node, ast.Constant) and node.value is True


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_is_below_it(room):
    assert files_of(room), f"{room} has no modules"
    banned = OURS - {room} - ALLOWED[room]
    wrong = [f"{name_of(file)}:{line} imports {top}" for file in files_of(room) for line, top in imports_of(file) if top in banned]
    assert not wrong, "\n".join(wrong)


def test_every_package_is_one_of_the_rooms():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(ALLOWED)


def test_the_method_never_imports_anything_heavy():
    wrong = [f"{name_of(file)}:{line} imports {top}" for file in files_of("planact") for line, top in imports_of(file) if top in HEAVY]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["planact", "planact.recipe"])
def test_importing_the_method_loads_nothing_but_itself_and_yaml(module):
    code = f"import sys; before = set(sys.modules); import {module}; print(*{{m.split('.')[0] for m in set(sys.modules) - before}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {name for name in done.stdout.split() if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert "planact" in loaded and loaded <= LIGHT, loaded - LIGHT


def test_nothing_runs_text_as_code():
    files = files_of(*ALLOWED, "scripts", "benchmarks")
    found = [f"{name_of(file)}:{line} {what}" for file in files for line, what in unsafe(file.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import planact_eval.runner",
        "from planact_eval import runner",
        "def f():\n    from planact_eval.runner import evaluate",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import planact_eval",
        "try:\n    import planact_eval as e\nexcept ImportError:\n    e = None",
        "import importlib\nimportlib.import_module('planact_eval.runner')",
        "from ..planact_eval import runner",
    ],
)
def test_the_reader_sees_an_import_wherever_it_stands(source):
    assert "planact_eval" in {module.split(".")[0] for _, module in imports(source, "")}


def test_relative_imports_are_of_the_package_itself():
    source = "from . import tasks\nfrom .env import Env\nfrom ..page import Node\nfrom ... import planact"
    assert [name for _, name in imports(source, "planact_envs.miniweb")] == [
        "planact_envs.miniweb",
        "planact_envs.miniweb.env",
        "planact_envs.page",
        "",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "list(map(eval, texts))",
        "exec('x = 1')",
        "code = compile(text, 'page', 'exec')",
        "import builtins\nbuiltins.exec(text)",
        "import pickle",
        "from pickle import loads",
        "def f():\n    import cloudpickle as c",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml\nyaml.unsafe_load(text)",
        "import yaml\nyaml.parse(text, Loader=yaml.FullLoader)",
        "from yaml import load",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import subprocess\nsubprocess.run(text, shell=flag)",
        "import os\nos.system(text)",
        "load(name, trust_remote_code=True)",
        "load(name, **{'trust_remote_code': True})",
    ],
)
def test_the_reader_sees_what_is_unsafe(source):
    assert list(unsafe(source)), source


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('x')",
        "model.eval()",
        "class Recipe:\n    eval: str = ''",
        "import ast\nast.literal_eval(text)",
        "import yaml\nyaml.safe_load(text)",
        "import yaml\nyaml.parse(text, Loader=yaml.CSafeLoader)",
        "import subprocess\nsubprocess.run(command, shell=False)",
        "load(name, trust_remote_code=False)",
    ],
)
def test_the_reader_allows_what_is_safe(source):
    assert not list(unsafe(source)), source
