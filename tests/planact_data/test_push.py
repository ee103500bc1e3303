"""Rows on their way to the Hub, against the stand-in of tests/hub.py: what is sent, what is refused, what a second push does."""

import json

import pytest
from datasets import Dataset, load_dataset

from planact.hub import PublishError, find_secrets, publishable
from planact.layout import MANIFEST, read_manifest
from planact_data.build import build
from planact_data.card import write_card
from planact_data.publish import READERS, push_rows
from tests.hub import serving

KEY = "sk-" + "a1B2c3D4" * 4  # put together here, so that no scanner of repositories finds a key in this file
NAME = "me/rows"


@pytest.fixture
def hub(tmp_path):
    with serving(tmp_path / "hf") as hub:
        yield hub


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tmp_path_factory.mktemp("push") / "recipe.yaml"


@pytest.fixture
def folder(recipe, config):
    """The rows of four tasks under `runs` beside `config`, made by the first test that needs them."""
    small = recipe(tasks=4, executor=("act",))
    config.write_text(small.to_yaml())
    return build(small, config.parent / "runs")


@pytest.fixture
def push(hub, config, folder):
    """push(*options) is what the script does with those rows."""
    return lambda *options: hub.run("scripts/push.py", "--config", config, "--runs", config.parent / "runs", "--repo", NAME, *options)


def change_a_row(folder):
    """Another answer in the first row, and the manifest and card of it. Returns a function that undoes it."""
    before = {name: (folder / name).read_bytes() for name in ("plan.parquet", MANIFEST, "README.md")}
    rows = list(Dataset.from_parquet(str(folder / "plan.parquet"), cache_dir=str(folder.parent / "cache")))
    rows[0]["completion"][0]["content"] += " And nothing else."
    Dataset.from_list(rows).to_parquet(folder / "plan.parquet")
    manifest = read_manifest(folder)
    manifest["rows"]["plan"]["hash"] = "another"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    write_card(folder, manifest)
    return lambda: [(folder / name).write_bytes(content) for name, content in before.items()]


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(hub, push, folder):
    done = push("--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"would push {folder} to {NAME}; it would be made private" in done.stdout
    size = (folder / "plan.parquet").stat().st_size
    assert any(line.split() == ["new", f"{size:,}", "bytes", "plan.parquet"] for line in done.stdout.splitlines())
    assert "card:\n---\nlicense: apache-2.0\n" in done.stdout
    assert hub.state == {"repositories": {}, "writes": []}


def test_a_push_makes_one_commit_in_a_private_dataset_and_only_what_changed_makes_another(hub, push, folder, tmp_path):
    assert push().returncode == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"plan.parquet", "replan.parquet", "act.parquet", "manifest.json", "README.md", "nearest-held-out.csv"}
    made = hub.state["repositories"][NAME]
    assert (made["kind"], made["private"], made["commits"], set(made["files"])) == ("dataset", True, ["Rows of test/row"], names)

    again, writes = push(), hub.state["writes"]
    assert again.returncode == 0 and f"{NAME} holds these files already; nothing to push" in again.stdout
    assert hub.state["repositories"][NAME] == made and hub.state["writes"] == writes

    undo = change_a_row(folder)
    try:
        dry = push("--dry-run")
        changed = {line.split()[-1] for line in dry.stdout.splitlines() if line.startswith("  changed")}
        assert changed == {"plan.parquet", "manifest.json", "README.md"} and len(hub.state["repositories"][NAME]["commits"]) == 1
        assert push().returncode == 0
        sent = [write.split("/")[1] for write in hub.state["writes"][len(writes) :]]
        assert sent.count("_large") == 1 and len(hub.state["repositories"][NAME]["commits"]) == 2
        expected = Dataset.from_parquet(str(folder / "plan.parquet"), cache_dir=str(tmp_path / "here"))
        code = f"from datasets import load_dataset; load_dataset({NAME!r}, 'plan')['train'].to_json({str(tmp_path / 'back.jsonl')!r})"
        assert (loaded := hub.run("-c", code)).returncode == 0, loaded.stderr
        back = load_dataset("json", data_files=str(tmp_path / "back.jsonl"), cache_dir=str(tmp_path / "back"))["train"]
        assert list(back) == list(expected) and back[0]["completion"][0]["content"].endswith(" And nothing else.")
    finally:
        undo()


def test_a_secret_is_refused_before_anything_is_sent_and_not_shown(hub, push, folder):
    card = folder / "README.md"
    before = card.read_text()
    try:
        card.write_text(before + f"my key is {KEY}\n")
        done = push()
    finally:
        card.write_text(before)
    line = before.count("\n") + 1
    assert done.returncode == 2 and f"README.md, line {line}: API key that begins with 'sk-a'" in done.stderr
    assert KEY not in done.stdout + done.stderr and "Traceback" not in done.stderr
    assert hub.state == {"repositories": {}, "writes": []}


@pytest.mark.parametrize("path, status, advice", [("/commit/", 500, "nothing was published"), ("/commit/", 412, "somebody else pushed")])
def test_a_server_that_fails_leaves_nothing_half_done_and_the_same_command_goes_on(hub, push, path, status, advice):
    hub.fail(path, status)
    done = push()
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"error: {NAME} is as it was" in done.stderr and str(status) in done.stderr and advice in done.stderr
    assert (hub.state["repositories"][NAME]["files"], hub.state["repositories"][NAME]["commits"]) == ({}, [])
    hub.fail("")
    assert push().returncode == 0 and len(hub.state["repositories"][NAME]["commits"]) == 1


def test_a_token_without_the_right_is_told_what_to_do(hub, push):
    hub.fail("/api/repos/create", 403)
    done = push()
    assert done.returncode == 2 and "hf auth login" in done.stderr and "Traceback" not in done.stderr and hub.state["repositories"] == {}


def test_a_public_dataset_is_filled_only_when_that_is_meant(hub, push):
    done = push("--public")
    assert done.returncode == 0 and hub.state["repositories"][NAME]["private"] is False
    before = hub.state
    done = push()
    assert done.returncode == 2 and "me/rows is public" in done.stderr and "--public" in done.stderr and hub.state == before


def test_no_server_and_rows_that_are_not_there_are_said_plainly(hub, push, config, tmp_path):
    hub.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    done = push("--dry-run")
    assert done.returncode == 2 and f"error: {NAME} is as it was: " in done.stderr and "Traceback" not in done.stderr
    done = hub.run("scripts/push.py", "--config", config, "--runs", tmp_path / "none", "--repo", NAME)
    assert done.returncode == 2 and "rows of test/row are not built\nmake it with: python scripts/build_data.py" in done.stderr


def test_rows_of_miniweb_hold_nothing_that_looks_like_a_secret(folder):
    assert list(find_secrets(publishable(folder), {}, READERS)) == []


def test_a_finding_names_file_row_and_column(tmp_path):
    rows = [{"id": str(n), "prompt": [{"role": "user", "content": f"page {n}"}]} for n in range(600)]
    rows[300]["prompt"][0]["content"] += f" typed {KEY}"
    rows[599]["id"] = "swordfish1"
    Dataset.from_list(rows).to_parquet(tmp_path / "plan.parquet")
    (tmp_path / "notes.json").write_text(f'{{\n"cookie": "id={KEY[3:20]}"}}\n')
    assert list(find_secrets(publishable(tmp_path), {"SHOP_PASSWORD": "swordfish1"}, READERS)) == [
        "notes.json, line 2: cookie header that begins with 'a1'",
        "plan.parquet, row 300, column prompt: API key that begins with 'sk-a'",
        "plan.parquet, row 599, column id: value of SHOP_PASSWORD that begins with 'sw'",
    ]


def test_hidden_and_half_written_files_and_links_stay_here(tmp_path):
    with pytest.raises(PublishError, match="there is nothing to push"):
        publishable(tmp_path)
    for name in ("README.md", "plan.part", ".env", ".cache/x", "logs/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    assert [*publishable(tmp_path)] == ["README.md", "logs/a.txt"]


def test_a_name_that_no_repository_can_have_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(PublishError, match="'a/b/c' is no name of a repository, which looks like owner/name"):
        push_rows(tmp_path, "a/b/c")
