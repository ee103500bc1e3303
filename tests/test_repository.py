"""The files around the code: what the README names is there, what is installed is pinned, what is shipped is found."""

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import Distribution

from planact import __version__

ROOT = Path(__file__).parents[1]
MAX_BYTES = 10 * 1024 * 1024
ROOMS = {"planact": None, "planact_envs": "envs", "planact_data": "data", "planact_train": "train", "planact_eval": "eval"}  # room -> extra
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMED_PATH = re.compile(r"(?<![\w/.<>-])((?:\.ci|[a-z]\w*)/[\w./-]*\w|\w+\.(?:md|cfg|toml|txt)|LICENSE|Makefile)(?![\w/<*-])")


def normal(requirement):
    """The name of a requirement, spelt as PyPI compares names."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def requirements():
    """Extra -> names of its distributions; the key None holds what every installation needs."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lists = {None: config["options"]["install_requires"], **config["options.extras_require"]}
    return {extra: {normal(line) for line in text.splitlines() if line.strip()} for extra, text in lists.items()}


def pins():
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return [line for line in lines if line]


def tree():
    """All files of the checkout but those that git ignores."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


def map_of(readme):
    """The paths in the README's map, a table whose first cell names a path and whose second may name paths below it."""
    section = re.search(r"^## [^\n]*\bmap\b[^\n]*\n(.*?)(?=^## |\Z)", readme, re.M | re.S | re.I)
    for line in section[1].splitlines() if section else ():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.strip().strip("|").split("|")]
        for number, names in enumerate(cells):
            for name in names:
                if "/" in name or re.search(r"\.(md|py|yaml|cfg|toml|txt)$", name) or number == 0:
                    yield name, [".", *(cells[0] if number else ())]


def test_the_map_is_read_from_the_table():
    readme = "# x\n\n## Map\n\n| where | what |\n|---|---|\n| `a/`, `B` | `b.py` by `make c`, `d/` |\n\n## Next\n\n| `e/` | |\n"
    assert list(map_of(readme)) == [("a/", ["."]), ("B", ["."]), ("b.py", [".", "a/", "B"]), ("d/", [".", "a/", "B"])]


def test_everything_in_the_readmes_map_exists():
    if not (ROOT / "README.md").exists():
        pytest.skip("no README yet")
    entries = list(map_of((ROOT / "README.md").read_text()))
    assert entries, "the README has no section whose heading says Map, or no table in it"
    missing = [name for name, bases in entries if not any((ROOT / base / name).exists() for base in bases)]
    assert not missing


def test_paths_named_in_the_documents_exist():
    """Only paths that start in a folder of the checkout: `org/model` is none, and what git ignores is not there yet."""
    tops = {Path(name).parts[0] for name in tree()}
    named = [(page, path) for page in PAGES for path in NAMED_PATH.findall(page.read_text()) if Path(path).parts[0] in tops]
    missing = [f"{page.name} names {path}" for page, path in named if not any((base / path).exists() for base in (ROOT, page.parent))]
    assert not missing, "\n".join(missing)


def test_links_between_the_documents_lead_somewhere():
    links = [
        (page, link) for page in PAGES for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if not re.match(r"[a-z]+:|#", link)
    ]
    broken = [f"{page.name} links to {link}" for page, link in links if not (page.parent / link.split("#")[0]).exists()]
    assert not broken, "\n".join(broken)


def test_no_file_is_large():
    large = [f"{name}: {(ROOT / name).stat().st_size:,} bytes" for name in tree() if (ROOT / name).stat().st_size > MAX_BYTES]
    assert not large, "\n".join(large)


def test_every_dependency_is_pinned_and_nothing_else_is():
    building = {normal(requirement) for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]}
    loose = [pin for pin in pins() if not re.fullmatch(r"[\w.-]+==\d[\w.!+]*", pin)]
    assert not loose
    named = [normal(pin) for pin in pins()]
    assert len(named) == len(set(named)), "a distribution is pinned twice"
    assert set(named) == set.union(building, *requirements().values())


def test_the_package_is_built_by_the_pinned_setuptools():
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert requires and set(requires) <= set(pins())


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_imports_are_declared(room):
    """What the modules of a room import is in install_requires, in the room's extra, or in the extra of the worlds."""
    declared = requirements()
    allowed = declared[None] | declared.get(ROOMS[room], set()) | (declared["envs"] if room != "planact" else set())
    allowed |= declared["browser"] | declared["browsergym"] | declared["webarena"] if room == "planact_envs" else set()
    allowed |= declared["langgraph"] if room == "planact" else set()
    allowed |= declared["metrics"] | declared["ray"] if room == "planact_eval" else set()
    providers = importlib.metadata.packages_distributions()
    undeclared = set()
    for file in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for top in {module.split(".")[0] for module in modules} - set(ROOMS) - sys.stdlib_module_names:
                if not {normal(name) for name in providers.get(top, [top])} & allowed:
                    undeclared.add(f"{file.relative_to(ROOT)}:{node.lineno} imports {top}")
    assert not undeclared, "\n".join(sorted(undeclared))


def test_every_extra_is_documented():
    text = "".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md") if (ROOT / name).exists())
    missing = [extra for extra in requirements() if extra and f"`{extra}`" not in text]
    assert not missing, "name these extras in README.md or CONTRIBUTING.md, in backticks"


def test_modules_and_the_files_beside_them_are_shipped(monkeypatch):
    """By setuptools' own search, without building: every file in a package folder is a module or matches package_data."""
    monkeypatch.chdir(ROOT)
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files(["setup.cfg"])
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    modules = {str(Path(file)) for _, _, file in build.find_all_modules()}
    data = {str(Path(source, name)) for _, source, _, names in build.data_files for name in names}
    there = {name for name in tree() if name.split("/")[0] in ROOMS}
    assert distribution.metadata.version == __version__
    assert there - modules - data == set(), "not shipped: a folder without __init__.py, or files that package_data does not match"
    assert modules - there == set(), "modules from outside the rooms are shipped"
    assert any(name.endswith(".html") for name in data)


def test_every_accelerate_configuration_loads():
    from accelerate.commands.config.config_args import load_config_from_file

    files = sorted(ROOT.glob("accelerate_configs/*.yaml"))
    assert files
    for file in files:
        assert load_config_from_file(str(file)).num_processes >= 1, file.name
