"""What is told of folders and servers of this machine: their last part, and that there was one."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planact_train.privacy import told_text, without_folders, without_machine

LOCAL = "http://localhost:8000/v1"
PART = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-. ", min_size=1, max_size=8).filter(lambda text: text == text.strip(" ."))


@pytest.mark.parametrize(
    "text, told",
    [
        ("/home/alice/x.json", "x.json"),
        ("~/x.json", "x.json"),
        ("/home/alice/it's, mine/x.json", "x.json"),
        ("data.imports={webrl: /home/alice/x.json}", "data.imports={webrl: x.json}"),
        ("data.imports={webrl: '/home/a b/x.json', mind2web: ~alice/y/z.json}", "data.imports={webrl: 'x.json', mind2web: z.json}"),
        ("--set=base_model=/data/models/x", "--set=base_model=x"),
        ("[/a/b,/c/d] and a:/e/f", "[b,d] and a:f"),
        ("file:///home/alice/x", "file://x"),
        ("rows of /home/alice/x.json, cleaned", "rows of x.json, cleaned"),
        ("/shared/here/recipes/a.yaml", "recipes/a.yaml"),
        ("--config=/shared/here/recipes/a.yaml", "--config=recipes/a.yaml"),
    ],
)
def test_a_path_anywhere_in_a_text_loses_its_folders(text, told):
    assert told_text(text, Path("/shared/here")) == told


@pytest.mark.parametrize(
    "text", ["Qwen/Qwen3-8B", "models/x", "./a/b ../c/d", "and/or, 1 / 2", "~40 rows", "</s>", "see https://arxiv.org/abs/2503.09572"]
)
def test_what_only_looks_like_a_path_stays(text):
    assert told_text(text) == text


@given(st.lists(PART, min_size=2, max_size=4), st.sampled_from(["{}", "x={}", "x={{webrl: {}}}", "x=[{}, y]", "'{}'"]))
def test_no_folder_of_a_path_is_told(parts, form):
    hidden = [f"secret{part}" for part in parts[:-1]]
    assert "secret" not in told_text(form.format("/" + "/".join([*hidden, parts[-1]])))


@pytest.mark.parametrize(
    "text, told",
    [
        ("http://10.0.0.7:8001/v1", LOCAL),
        ("https://llm.corp.example.com/v1", LOCAL),
        ("http://localhost.example.com/v1", LOCAL),
        ("http://[fd00::7]:8000/v1", LOCAL),
        ("endpoints.teacher={base_url: 'http://gpu7:8000/v1', model: a/b}", f"endpoints.teacher={{base_url: '{LOCAL}', model: a/b}}"),
        ("endpoints.teacher.base_url=http://gpu7:8000/v1", f"endpoints.teacher.base_url={LOCAL}"),
        *[(at, at) for at in ("", "http://localhost:8003/v1", "http://127.0.0.1:1/v1", "http://[::1]/v1", "https://api.openai.com/v1")],
    ],
)
def test_a_server_of_ones_own_is_not_told(text, told):
    assert told_text(text) == told


def test_recipes_are_told_all_the_way_down_and_library_files_keep_what_may_be_a_token():
    recipe = {"a": ["/data/x", "models/y"], "endpoints": {"judge": {"base_url": "http://10.0.0.7/v1", "max_in_flight": 1}}, "b": None}
    told = {"a": ["x", "models/y"], "endpoints": {"judge": {"base_url": LOCAL, "max_in_flight": 1}}, "b": None}
    assert without_machine(recipe) == told and yaml.safe_load(yaml.safe_dump(told)) == told
    config = {"name_or_path": "/data/models/x", "template": "{{ a }} /b/c", "url": "http://10.0.0.7/v1"}
    assert without_folders(config) == config | {"name_or_path": "x"}
