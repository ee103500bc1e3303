"""Which client plays which role, and which endpoints are refused."""

from dataclasses import replace

import pytest

from planact.endpoint import EndpointLLM
from planact.llm import Budget, EndpointUnusable
from planact.recipe import Endpoint, RecipeError, load_recipe
from planact_data import offline
from planact_data.batch import BatchLLM
from planact_data.models import open_models
from planact_data.offline import VLLMOffline
from planact_envs.suites import load_suite

SUITE = load_suite("miniweb-short")
HOSTED = Endpoint("http://127.0.0.1:9/v1", "big", max_in_flight=40)
SMALL = Endpoint("http://127.0.0.1:9/v1", "small", max_in_flight=5)
HERE = Endpoint("", "big")


@pytest.fixture
def opened(recipe, tmp_path):
    """opened("batch", teacher=...) is the context of those models."""
    return lambda how, **endpoints: open_models(replace(recipe(teacher=how), endpoints=endpoints), SUITE, Budget(), tmp_path)


async def test_the_scripted_teacher_plays_every_role(opened, tmp_path):
    async with opened("scripted") as models:
        assert models.teacher is models.actor is models.reasoner is models.judge is models.orm
    assert not list(tmp_path.iterdir())


async def test_roles_without_an_endpoint_are_the_teachers(opened, tmp_path):
    async with opened("endpoint", teacher=HOSTED, judge=SMALL) as models:
        assert models.teacher is models.actor is models.reasoner is models.orm
        assert (models.teacher.name, models.judge.name) == ("big", "small")
        assert (models.in_flight, models.questions) == (40, 40)
        assert models.teacher._cache is models.judge._cache and models.teacher._budget is models.judge._budget
    assert (tmp_path / "replies.sqlite").exists()


async def test_batches_are_for_questions_and_not_for_episodes(opened):
    async with opened("batch", teacher=HOSTED, actor=SMALL, reasoner=SMALL) as models:
        assert isinstance(models.teacher, BatchLLM) and isinstance(models.reasoner, BatchLLM) and models.judge is models.teacher
        assert isinstance(models.actor, EndpointLLM)
        assert (models.in_flight, models.questions) == (5, 50_000)
    with pytest.raises(RecipeError, match=r"test/row: data.teacher: batch .*add endpoints.actor"):
        async with opened("batch", teacher=HOSTED):
            pass


async def test_one_engine_in_this_process_plays_all_roles_without_a_server(opened, monkeypatch):
    monkeypatch.setattr(offline.importlib.util, "find_spec", lambda name: object())
    async with opened("vllm", teacher=HERE, reasoner=HERE, judge=SMALL) as models:
        assert isinstance(models.teacher, VLLMOffline) and models.teacher is models.reasoner is models.actor
        assert isinstance(models.judge, EndpointLLM)
        assert (models.in_flight, models.questions) == (64, 2048)
    two = {"teacher": HERE, "orm": Endpoint("", "other")}
    for wrong, advice in (({"teacher": HOSTED}, "leave endpoints.teacher.base_url empty"), (two, "big and other cannot share")):
        with pytest.raises(RecipeError, match=advice):
            async with opened("vllm", **wrong):
                pass


async def test_vllm_that_is_not_installed_is_said_before_anything_is_asked(opened, monkeypatch):
    monkeypatch.setattr(offline.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EndpointUnusable, match="pip install vllm"):
        async with opened("vllm", teacher=HERE):
            pass


@pytest.mark.parametrize("teacher, role", [("endpoint", "teacher"), ("batch", "teacher"), ("vllm", "planner")])
def test_an_empty_address_is_refused_where_it_stands(tmp_path, teacher, role):
    file = tmp_path / "recipe.yaml"
    endpoints = "".join(f"  {name}: {{base_url: '', model: m}}\n" for name in dict.fromkeys(["teacher", role]))
    file.write_text(f"name: x\nseed: 1\nbase_model: none\nagent: {{}}\ndata: {{teacher: {teacher}}}\nendpoints:\n{endpoints}")
    with pytest.raises(RecipeError, match=rf"recipe.yaml.*endpoints.{role}.base_url is empty.*name a server"):
        load_recipe(file)
