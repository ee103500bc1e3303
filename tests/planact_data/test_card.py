"""The dataset card: front matter that the Hub and `datasets` read, and every count in words."""

from dataclasses import replace

import pytest
import yaml
from datasets import Dataset, load_dataset
from huggingface_hub import metadata_load

from planact.layout import read_manifest
from planact_data.build import build
from planact_data.card import write_card

RECIPE = "name: tiny/x\nseed: 3\ndata:\n  imports:\n    webrl: elsewhere/old.jsonl\n"
MANIFEST = {
    "rows": {
        "act": {"rows": 31, "by source": {"seed": 20, "synthetic": 11}, "duplicates dropped": 4, "dropped": {}, "hash": "a"},
        "plan_cot": {"rows": 5, "duplicates dropped": 0, "dropped": {"rows without reasoning": 2}, "hash": "c"},
        "plan": {"rows": 7, "duplicates dropped": 0, "hash": "b"},
    },
    "settings": {
        "suite": "miniweb",
        "suite_version": "9.8.7",
        "models": {"teacher": "scripted"},
        "seed": 3,
        "prompts": "beef",
        "synthetic": 92,
        "expansion": 0,
        "targeted": 0,
        "imports": {},
    },
    "teaching": "cafe",
    "counts": {
        "seed": {"tried": 10, "trajectories kept": 7, "trajectories rejected": {"not solved (answered)": 2, "unscored (model_error)": 1}},
        "expansion": {"rejected": {}},
        "nearest held-out requests": {"requests": 10, "refused": {"repeats a test request": 2}, "similarity": {"0.1 to 0.2": 8}},
    },
    "questions": {
        "plan": {
            "asked": 8,
            "accepted": 7,
            "rejected": {"spans": 1},
            "repairs": 6,
            "prompt tokens": 12345,
            "completion tokens": 678,
            "usd": 1.5,
        },
        "query": {
            "asked": 1,
            "accepted": 0,
            "rejected": {"refused: a | b\nc": 1},
            "repairs": 0,
            "prompt tokens": 0,
            "completion tokens": 0,
            "usd": None,
        },
    },
}


def card(tmp_path, **changes):
    write_card(tmp_path, MANIFEST | changes)
    _, front, text = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def section(text, title):
    return text.split(f"## {title}\n\n")[1].split("\n## ")[0].strip()


def test_front_matter(tmp_path):
    front, _ = card(tmp_path)
    assert front["configs"] == [  # in the order of the kinds, whatever was built first
        {"config_name": kind, "data_files": f"{kind}.parquet"} for kind in ("plan", "act", "plan_cot")
    ]
    assert "plan-and-act" in front["tags"] and front["license"] == "apache-2.0" and front["size_categories"] == ["n<1K"]
    assert front["lineage"] == {
        "suite": "miniweb 9.8.7",
        "models": {"teacher": "scripted"},
        "prompts": "beef",
        "teaching": "cafe",
        "seed": 3,
        "parents": [],
        "rows": {"plan": {"rows": 7, "hash": "b"}, "act": {"rows": 31, "hash": "a"}, "plan_cot": {"rows": 5, "hash": "c"}},
    }


def test_datasets_loads_what_the_card_names_and_nothing_else(tmp_path):
    """The report of the leak gate is a CSV file in the same folder."""
    for kind in MANIFEST["rows"]:
        Dataset.from_list([{"id": f"{kind}/{n}"} for n in range(3)]).to_parquet(tmp_path / f"{kind}.parquet")
    (tmp_path / "nearest-held-out.csv").write_text("id,intent\n1,x\n")
    card(tmp_path)
    for kind in MANIFEST["rows"]:
        loaded = load_dataset(str(tmp_path), kind, cache_dir=str(tmp_path / "cache"))
        assert list(loaded) == ["train"] and list(loaded["train"]["id"]) == [f"{kind}/{n}" for n in range(3)]


def test_rows_their_sources_and_what_was_dropped(tmp_path):
    _, text = card(tmp_path)
    assert text.startswith("\n# Plan-and-Act rows from miniweb 9.8.7\n")
    assert "| `plan` | request and first page → plan | 7 |  |  |" in text
    act = "| `act` | task, first plan, past actions and current page → next action | 31 | 20 seed, 11 synthetic | 4 exact duplicates |"
    assert act in text
    cot = "| `plan_cot` | request and first page → plan, after reasoning in `<think>` tags | 5 |  | 2 rows without reasoning |"
    assert cot in text and "`react`" not in text and "shortened" not in text


def test_the_share_of_kept_tokens_is_told_where_pages_were_shortened(tmp_path):
    rows = MANIFEST["rows"]
    _, text = card(tmp_path, rows={"plan": rows["plan"] | {"kept tokens": 0.625}, "act": rows["act"] | {"kept tokens": 1.0}})
    assert "share of the pages' tokens that was kept: `plan` 62%." in text


def test_rows_that_were_drawn_are_told(tmp_path):
    _, text = card(tmp_path, settings=MANIFEST["settings"] | {"max_rows": {"act": 31}})
    assert "Where there were more rows than this, as many were drawn at random: `act` 31." in text


def test_stages_are_those_that_the_recipe_has(tmp_path):
    _, text = card(tmp_path)
    made = section(text, "How they were made")
    assert [line[:3] for line in made.splitlines() if line[:1].isdigit()] == ["1. ", "2. ", "3. "]
    assert "**Synthetic trajectories.**" in made and "**Plan expansion.**" not in made and "Models: teacher scripted." in made


def test_what_was_dropped_and_why(tmp_path):
    _, text = card(tmp_path)
    assert section(text, "What was dropped and why").splitlines()[:8] == [
        "- seed:",
        "  - tried: 10",
        "  - trajectories kept: 7",
        "  - trajectories rejected:",
        "    - not solved (answered): 2",
        "    - unscored (model_error): 1",
        "- expansion:",
        "  - rejected:",
    ]
    assert "similarity" not in section(text, "What was dropped and why")  # has a section of its own
    asked = section(text, "What the teachers were asked").splitlines()
    assert asked[2] == "| plan | 8 | 7 | 1 spans | 6 | 12345 | 678 | 1.50 |"
    assert asked[3] == "| query | 1 | 0 | 1 refused: a \\| b c | 0 | 0 | 0 | unknown |"  # a server's words stay in their cell


def test_the_leak_gate_is_summed_up(tmp_path):
    _, text = card(tmp_path)
    assert "- repeats a test request: 2" in section(text, "Leak gate") and "nearest-held-out.csv" in section(text, "Leak gate")
    assert "## Leak gate" not in card(tmp_path, counts={})[1]


@pytest.mark.parametrize(
    "settings, licence, said, unsaid",
    [
        ({}, "apache-2.0", "Apache-2.0", "terms"),
        ({"models": {"teacher": "gpt-4o"}}, "unknown", "their providers' terms", "Apache-2.0"),
        ({"suite": "webarena-lite", "models": {"teacher": "gpt-4o"}}, "unknown", "come from webarena-lite; its terms apply", "Apache"),
        ({"imports": {"webrl": "d1ce"}}, "unknown", "imported from `old.jsonl` (webrl) is unknown", "providers"),
    ],
)
def test_the_licence_is_what_is_known_of_it(tmp_path, settings, licence, said, unsaid):
    front, text = card(tmp_path, settings=MANIFEST["settings"] | settings, recipe=RECIPE)
    assert front["license"] == licence and said in section(text, "Licence") and unsaid not in section(text, "Licence")
    parents = [{"format": "webrl", "file": "old.jsonl", "sha256": "d1ce"}] if "imports" in settings else []
    assert front["lineage"]["parents"] == parents


def test_how_to_build_them_again(tmp_path):
    _, text = card(tmp_path, recipe=RECIPE)
    assert f"python scripts/build_data.py --config recipe.yaml`, where recipe.yaml is\n\n```yaml\n{RECIPE}```" in text


def test_a_manifest_of_rows_and_settings_is_enough(tmp_path):
    write_card(tmp_path, {"rows": {"plan": {"rows": 1}}, "settings": {"suite": "miniwob", "suite_version": "1"}})
    text = (tmp_path / "README.md").read_text()
    assert "# Plan-and-Act rows from miniwob 1" in text and "Models: not recorded." in text
    assert load_card(text)["license"] == "unknown"


def load_card(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_hostile_names_stay_text_in_the_front_matter(tmp_path):
    hostile = {"teacher": "x\n---\nlicense: mit\n!!python/object:os.system"}
    write_card(tmp_path, MANIFEST | {"settings": MANIFEST["settings"] | {"models": hostile}})
    front = metadata_load(tmp_path / "README.md")  # as the Hub's own library reads it
    assert front["lineage"]["models"] == hostile and front["license"] == "unknown"
    assert "license: mit" not in (tmp_path / "README.md").read_text().splitlines()


def test_a_build_with_a_page_limit_tells_what_was_kept(recipe, tmp_path):
    limited = recipe(tasks=3, planner=("plan",), executor=("act",))
    whole = build(limited, tmp_path)
    folder = build(replace(limited, agent=replace(limited.agent, max_page_tokens=40)), tmp_path)
    kept = [entry["kept tokens"] for entry in read_manifest(folder)["rows"].values()]
    assert len(kept) == 2 and all(0 < share < 1 for share in kept)
    assert f"`plan` {kept[0]:.0%}" in (folder / "README.md").read_text() and "shortened" not in (whole / "README.md").read_text()
