"""What the doctor says of a machine, of what a recipe's training needs, of the Hub token, and of the servers that a recipe names."""

import asyncio
import os
import stat
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from planact.recipe import Endpoint, load_recipe
from planact_train.doctor import differs, endpoint, examine_endpoints, examine_machine, examine_training, gpus, hub, pins, stack
from tests.hub import serving

REPO = Path(__file__).parents[2]
TOKEN = "hf_" + "secretsecretsecretsecretsecret"


class Models(BaseHTTPRequestHandler):
    """GET /<kind>/models: a list, no list, or a refusal."""

    def do_GET(self):
        kind = self.path.split("/")[1]
        status = {"listed": 200, "unlisted": 404, "refused": 401}[kind]
        body = (
            b'{"object": "list", "data": [{"id": "llama", "object": "model", "created": 1, "owned_by": "me"}]}' if status == 200 else b"{}"
        )
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


def tiny(*changes):
    return load_recipe(REPO / "recipes/tiny/finetuning.yaml", changes)


def said(findings):
    return {finding.what: (finding.ok, finding.said) for finding in findings}


def test_nothing_of_a_machine_without_a_gpu_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no program of a driver
    found = said(examine_machine(tmp_path))
    assert list(found) == ["GPU", "libraries", "kernels", "Hub token", "disk"]
    assert not [what for what, (ok, _) in found.items() if ok is False]
    assert found["GPU"][0] is None and "no NVIDIA driver answers" in found["GPU"][1]
    assert "trl " in found["libraries"][1] and "flash-attn" in found["kernels"][1]


def test_a_gpu_that_torch_cannot_use_is_missing(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559 MiB, 580.12'\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    [finding] = gpus()
    assert "NVIDIA H100 80GB HBM3, 81559 MiB, driver 580.12" in finding.said and "torch" in finding.said
    import torch

    assert finding.ok is torch.cuda.is_available()


@pytest.mark.parametrize(
    "found, tested, words",
    [("2.13.0", "2.13.0", ""), ("2.13.0+cpu", "2.13.0", ""), ("2.14.0", "2.13.0", " (tested: 2.13.0)"), ("1.0", None, "")],
)
def test_versions_are_held_against_the_tested_ones(found, tested, words):
    assert differs(found, tested) == words


def test_pins_are_read_with_comments_beside_them():
    assert pins("# all\ntrl==1.16.0 # why\n\ntorch==2.13.0\nother>=1\n") == {"trl": "1.16.0", "torch": "2.13.0"}


def test_another_version_is_worth_a_note(tmp_path, monkeypatch):
    (tmp_path / "constraints.txt").write_text("trl==0.1\n")
    monkeypatch.setattr("planact_train.doctor.CONSTRAINTS", tmp_path / "constraints.txt")
    assert stack(needed=True).ok is None and "(tested: 0.1)" in stack().said
    monkeypatch.setattr("planact_train.doctor.CONSTRAINTS", tmp_path / "none.txt")
    assert stack(needed=True).ok is True


def test_a_recipe_for_the_cpu_needs_no_gpu():
    assert not [finding for finding in examine_training(tiny()) if finding.ok is False]


def test_a_recipe_for_eight_gpus_misses_them_and_its_packages(monkeypatch):
    monkeypatch.setattr("planact_train.doctor.installed", lambda name: None if name in ("deepspeed", "bitsandbytes") else "1.0")
    changes = ["sft.use_cpu=false", "training.processes=512", "training.launch=deepspeed_zero3", "sft.load_in_4bit=true"]
    found = said(examine_training(tiny(*changes)))
    assert found["devices"][0] is False and "training.processes=512, and torch sees" in found["devices"][1]
    assert found["deepspeed"] == (False, "the recipe asks for it; type: pip install deepspeed -c constraints.txt")
    assert found["bitsandbytes"][0] is False


def test_without_a_token_only_a_push_is_impossible(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert hub().ok is None and hub(needed=True).ok is False and "hf auth login" in hub().said
    assert said(examine_training(tiny("sft.push_to_hub=true")))["Hub token"][0] is False


def test_offline_the_hub_is_not_asked(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: TOKEN)
    finding = hub(needed=True)  # the tests run with HF_HUB_OFFLINE=1
    assert finding.ok is None and "was not asked" in finding.said and TOKEN not in str(finding)


@pytest.mark.parametrize(
    "role, verdict, words",
    [("write", True, "of tester, scope write"), ("read", False, "scope read; sft.push_to_hub needs one that may write")],
)
def test_the_scope_of_a_token_is_told_and_the_token_is_not(role, verdict, words, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.whoami", lambda token: {"name": "tester", "auth": {"accessToken": {"role": role}}})
    finding = hub(needed=True)
    assert (finding.ok, words in finding.said) == (verdict, True) and TOKEN not in str(finding)


def told_of_the_hub(environment):
    """What the script says, in a process of its own: huggingface_hub reads its address when it is imported."""
    command = [sys.executable, "scripts/doctor.py"]
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and not done.stderr and environment["HF_TOKEN"] not in done.stdout, done.stderr
    return next(line for line in done.stdout.splitlines() if "Hub token" in line)


def test_a_hub_that_refuses_the_token_is_told(tmp_path):
    with serving(tmp_path) as served:
        assert "of tester, scope write" in told_of_the_hub(served.environment)
        served.fail("whoami", 401)
        assert "refused by the Hub with status 401; type: hf auth login" in told_of_the_hub(served.environment)


def test_a_hub_that_is_not_there_is_told(tmp_path):
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path)}
    assert "there; http://127.0.0.1:9 does not answer" in told_of_the_hub(os.environ | nowhere)


@pytest.mark.parametrize(
    "kind, model, later, verdict, words",
    [
        ("listed", "llama", False, True, "llama at http://127.0.0.1"),
        ("listed", "qwen", False, False, "answers, and lists llama, not qwen"),
        ("listed", "qwen", True, None, "answers, and lists llama, not qwen"),
        ("unlisted", "llama", False, None, "tells no list of models"),
        ("refused", "llama", False, False, "401"),
        ("refused", "llama", True, None, "needed when the trained model is evaluated"),
    ],
)
def test_a_server_is_asked_for_its_models(server, kind, model, later, verdict, words):
    finding = asyncio.run(endpoint("teacher", Endpoint(f"{server}/{kind}", model), later))
    assert finding.ok is verdict and words in finding.said, finding


def test_a_server_that_is_not_there_and_a_key_that_is_not_set_are_missing(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    found = asyncio.run(endpoint("judge", Endpoint("http://127.0.0.1:9/v1", "m"), False))
    assert found.ok is False and "no connection" in found.said
    found = asyncio.run(endpoint("judge", Endpoint("http://127.0.0.1:9/v1", "m", api_key_env="NO_SUCH_KEY"), False))
    assert found.ok is False and "export NO_SUCH_KEY=" in found.said


def test_the_server_of_a_model_that_is_trained_first_may_come_later(server):
    changes = [f"endpoints.{role}={{base_url: '{server}/listed', model: later}}" for role in ("planner", "executor")]
    changes += [f"endpoints.teacher={{base_url: '{server}/listed', model: llama}}"]
    found = said(examine_endpoints(tiny(*changes)))
    assert {role: ok for role, (ok, _) in found.items()} == {"planner": None, "executor": None, "teacher": True}


def test_the_script_looks_at_training_endpoints_and_suite_of_a_recipe(server, tmp_path):
    change = f"endpoints.teacher={{base_url: '{server}/listed', model: qwen}}"
    command = [sys.executable, "scripts/doctor.py", "--config", "recipes/tiny/finetuning.yaml", "--set", change, "--runs", str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and not done.stderr, done.stderr
    words = [line[9:].split("  ")[0] for line in done.stdout.splitlines()]
    assert words == ["GPU", "libraries", "kernels", "disk", "teacher", "tasks"]
    assert "MISSING  teacher" in done.stdout


def test_the_script_alone_looks_at_the_machine(tmp_path):
    command = [sys.executable, "scripts/doctor.py", "--runs", str(tmp_path / "new")]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "Hub token" in done.stdout and not (tmp_path / "new").exists()
