"""What training needs of this machine and of the servers that a recipe names, and whether it is there: the logic of scripts/doctor.py.

Nothing heavy is imported before it is looked at: the doctor also runs where the libraries that train are missing.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from planact.llm import EndpointUnusable
from planact.recipe import TRAINED_ROLES, Endpoint, Recipe
from planact.server import Server
from planact_envs.doctor import Finding, disk

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"  # there in a checkout, not in an installed package
TRAINS = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")
KERNELS = ("flash-attn", "kernels", "liger-kernel", "bitsandbytes", "deepspeed")
TIMEOUT = 5.0  # seconds for an endpoint's list of models
DRIVER = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")


def examine_machine(runs: Path) -> list[Finding]:
    """What can be said without a recipe; only what nothing can do without is missing."""
    return [*gpus(), stack(), kernels(), hub(), disk(runs)]


def examine_training(recipe: Recipe) -> list[Finding]:
    """What the training of the recipe needs beside disk space."""
    found: list[Finding] = []
    for settings in (recipe.sft_for(role) for role in TRAINED_ROLES):
        found += [*needed_gpus(recipe, settings), *needed_packages(recipe, settings)]
        if settings.get("push_to_hub"):
            found.append(hub(needed=True))
    return [*(finding for finding in gpus() if finding.ok is not False), stack(needed=True), kernels(), *dict.fromkeys(found)]


def needed_gpus(recipe: Recipe, settings: Mapping[str, Any]) -> list[Finding]:
    """Of one machine; how many a cluster has, accelerate tells when it starts."""
    if settings.get("use_cpu") or find_spec("torch") is None:
        return []
    import torch

    wanted, there = recipe.training.processes, torch.cuda.device_count()
    if recipe.training.launch == "fsdp2_multinode":
        wanted = min(wanted, max(there, 1))
    said = f"training.processes={wanted}, and torch sees {there} GPU{'s' * (there != 1)} here"
    return [
        Finding(
            "devices", there >= wanted, said + ("" if there >= wanted else "; train elsewhere, or set sft.use_cpu=true for a tiny model")
        )
    ]


def needed_packages(recipe: Recipe, settings: Mapping[str, Any]) -> list[Finding]:
    """Packages that only some recipes ask for."""
    reports = settings.get("report_to") or ()
    asked = {
        "bitsandbytes": settings.get("load_in_4bit") or settings.get("load_in_8bit") or "8bit" in str(settings.get("optim")),
        "deepspeed": recipe.training.launch == "deepspeed_zero3",
        "liger-kernel": settings.get("use_liger_kernel"),
        **{name: name in reports for name in ("trackio", "wandb", "tensorboard")},
        "mlflow-skinny": "mlflow" in reports and installed("mlflow") is None,
    }
    absent = [name for name, wanted in asked.items() if wanted and installed(name) is None]
    return [Finding(name, False, f"the recipe asks for it; type: pip install {name} -c constraints.txt") for name in absent]


def gpus() -> list[Finding]:
    """One line for each GPU, or why there is none."""
    driver = _driver()
    if find_spec("torch") is None:
        return [Finding("GPU", None, f"{driver[0] if driver else 'no NVIDIA driver answers'}; torch is not installed")]
    import torch

    build = f"torch {torch.__version__} is built for " + (f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs alone")
    if torch.cuda.is_available():
        names = driver or [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return [Finding("GPU", True, f"{name}; {build}") for name in names]
    if driver:
        return [Finding("GPU", False, f"{driver[0]} is here and torch cannot use it: {build}; install a build for the driver's CUDA")]
    return [Finding("GPU", None, f"none (no NVIDIA driver answers); {build}; the tiny recipes train on the CPU")]


def _driver() -> list[str]:
    """Name, memory and driver version of each GPU, from the driver's own program; empty without one."""
    try:
        done = subprocess.run(DRIVER, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = (line.split(", ") for line in done.stdout.splitlines() if line.count(", ") == 2)
    return [f"{name}, {memory}, driver {number}" for name, memory, number in lines]


def stack(needed: bool = False) -> Finding:
    """The libraries that train, against the versions that are tested together."""
    there = {name: installed(name) for name in TRAINS}
    if absent := [name for name, found in there.items() if found is None]:
        return Finding(
            "libraries", False if needed else None, f"without {', '.join(absent)}; type: pip install -e '.[train]' -c constraints.txt"
        )
    tested = pins(CONSTRAINTS.read_text()) if CONSTRAINTS.exists() else {}
    words = [f"{name} {found}{differs(found, tested.get(name))}" for name, found in there.items()]
    return Finding("libraries", None if any("tested" in word for word in words) else True, ", ".join(words))


def differs(found: str, tested: str | None) -> str:
    """What to say of a version; a build's label ("+cpu") is no difference."""
    return "" if tested in (None, found, found.split("+")[0]) else f" (tested: {tested})"


def pins(constraints: str) -> dict[str, str]:
    """Name -> version of the lines `name==version`."""
    lines = (line.split("#")[0].strip().partition("==") for line in constraints.splitlines())
    return {name: number for name, equals, number in lines if equals}


def kernels() -> Finding:
    there = {name: installed(name) for name in KERNELS}
    words = [f"{name} {found}" for name, found in there.items() if found] or ["none"]
    absent = [name for name, found in there.items() if not found]
    return Finding("kernels", None, ", ".join(words) + (f"; not installed: {', '.join(absent)}" if absent else ""))


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def hub(needed: bool = False) -> Finding:
    """Whether there is a Hub token, and what it may do. The token itself is shown nowhere."""
    missing = False if needed else None
    if find_spec("huggingface_hub") is None:
        return Finding("Hub token", missing, "huggingface_hub is not installed")
    from huggingface_hub import constants, get_token, whoami
    from huggingface_hub.errors import HTTPError

    token = get_token()
    if not token:
        return Finding("Hub token", missing, "none: only public models and data can be read, and nothing pushed; type: hf auth login")
    if constants.HF_HUB_OFFLINE:
        return Finding("Hub token", None, "there; HF_HUB_OFFLINE is set, so that the Hub was not asked what it may do")
    try:
        user = whoami(token=token)
    except HTTPError as error:  # the Hub's own errors are such too
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = f"refused by the Hub with status {status}; type: hf auth login" if status else f"there; {constants.ENDPOINT} does not answer"
        return Finding("Hub token", missing, said)
    role = user.get("auth", {}).get("accessToken", {}).get("role", "unknown")
    return Finding("Hub token", role != "read" if needed else True, f"of {user.get('name')}, scope {role}" + _refused(needed, role))


def _refused(needed: bool, role: str) -> str:
    return "; sft.push_to_hub needs one that may write" if needed and role == "read" else ""


def examine_endpoints(recipe: Recipe) -> list[Finding]:
    """Every server that the recipe names: does it answer, and does it know the model?"""

    async def all_of_them() -> list[Finding]:
        return await asyncio.gather(
            *(endpoint(role, named, _is_later(recipe, role)) for role, named in recipe.endpoints.items() if named.base_url)
        )

    return [*_in_process(recipe), *asyncio.run(all_of_them())]


def _in_process(recipe: Recipe) -> Iterator[Finding]:
    if any(not endpoint.base_url for endpoint in recipe.endpoints.values()):
        found = installed("vllm")
        yield Finding(
            "vLLM",
            found is not None,
            f"{found} in this process" if found else "the recipe runs models in this process; type: pip install vllm",
        )


def _is_later(recipe: Recipe, role: str) -> bool:
    """Whether the server is for a model that this recipe trains first."""
    return role in TRAINED_ROLES and recipe.agent is not None and getattr(recipe.agent, role) == "trained"


async def endpoint(role: str, named: Endpoint, later: bool) -> Finding:
    """Asks for the list of models, which costs nothing. A server that keeps no list is worth a note."""
    import openai

    try:
        server = Server(named.base_url, named.model, named.api_key_env)
        async with server.client(TIMEOUT) as client:
            models = [model.id async for model in await client.models.list()]
    except (EndpointUnusable, ValueError) as error:
        return Finding(role, False, str(error))
    except openai.NotFoundError:
        return Finding(role, None, f"{server}: answers, and tells no list of models")
    except openai.OpenAIError as error:
        said = f"{server}: {server.failure(error).message}"
        return Finding(role, None if later else False, said + ("; needed when the trained model is evaluated" if later else ""))
    if named.model in models:
        return Finding(role, True, f"{server}: listed")
    return Finding(role, None if later else False, f"{server}: answers, and lists {', '.join(models[:5]) or 'no model'}, not {named.model}")
