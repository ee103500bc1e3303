"""Which attention kernel trains: the recipe's `attn_implementation` where it can be used here, otherwise the next best, said in one line.

Flash attention is what makes packing cheap: it computes each row of a pack by itself. PyTorch's own attention (sdpa) keeps rows apart
too, by a mask of L x L for the L tokens of a batch, and TRL does not say so.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState
from transformers.utils import import_utils

HUB_FLASH = "kernels-community/flash-attn2"
FALLBACKS = (HUB_FLASH, "flash_attention_2", "sdpa")
# Lowest compute capability of each: Ampere for FlashAttention 2 and vLLM's 3, Hopper for the rest (their documentation).
LOWEST = {
    HUB_FLASH: (8, 0),
    "flash_attention_2": (8, 0),
    "kernels-community/vllm-flash-attn3": (8, 0),
    "kernels-community/flash-attn3": (9, 0),
    "flash_attention_3": (9, 0),
    "kernels-community/flash-attn4": (9, 0),
    "flash_attention_4": (9, 0),
}
PACKAGES = {"flash_attention_2": "flash-attn", "flash_attention_3": "flash-attn-3", "flash_attention_4": "flash-attn-4"}
KERNELS = f"kernels>={import_utils.KERNELS_MIN_VERSION},<{import_utils.KERNELS_MAX_VERSION}"


@dataclass(frozen=True)
class Hardware:
    """What attention kernels need to know of the machine."""

    device: str  # name, for messages
    capability: tuple[int, int] | None  # compute capability; None: no CUDA device trains
    packages: frozenset[str]  # names of PACKAGES that are installed and load
    kernels: bool  # the Hub's `kernels` package, in a version that transformers takes


def hardware(use_cpu: bool) -> Hardware:
    cuda = torch.cuda.is_available() and not use_cpu
    usable = {
        "flash_attention_2": import_utils.is_flash_attn_2_available(),
        "flash_attention_3": import_utils.is_flash_attn_3_available(),
        "flash_attention_4": import_utils.is_flash_attn_4_available(),
    }
    return Hardware(
        device=torch.cuda.get_device_name() if cuda else "cpu",
        capability=torch.cuda.get_device_capability() if cuda else None,
        packages=frozenset(name for name, there in usable.items() if there),
        kernels=import_utils.is_kernels_available(),
    )


def attention(settings: Mapping[str, Any], here: Hardware | None = None) -> str | None:
    """The `attn_implementation` to load the model with; None where the recipe names none and transformers chooses.

    `settings`: the recipe's `sft` for a role. What differs from it, or costs memory, is one line on stderr each.
    """
    wanted = settings.get("attn_implementation")
    here = here or hardware(bool(settings.get("use_cpu")))
    name, refused = choose(wanted, here, computes_in_half(settings), load_kernel) if wanted else (None, {})
    lines = [f"attention is {name}, not {wanted}: {_reasons(refused)}"] if refused else []
    lines += filter(None, [dense_mask(settings, name)])
    if PartialState().is_main_process:
        for line in lines:
            print(f"warning: {line}", file=sys.stderr)
    return name


def choose(wanted: str, here: Hardware, half: bool, load: Callable[[str], str | None]) -> tuple[str, dict[str, str]]:
    """The first implementation that can be used, and why those before it cannot. `load` says what keeps a Hub kernel from loading."""
    refused: dict[str, str] = {}
    for name in dict.fromkeys((wanted, *FALLBACKS)):
        problem = _problem(name, here, half) or (load(name) if is_hub_kernel(name) else None)
        if problem is None:
            return name, refused
        refused[name] = problem
    raise AssertionError("sdpa has no problem")


def is_hub_kernel(name: str | None) -> bool:
    return "/" in (name or "")


def is_flash(name: str | None) -> bool:
    return is_hub_kernel(name) or name in PACKAGES


def computes_in_half(settings: Mapping[str, Any]) -> bool:
    """Whether attention gets 16-bit numbers: mixed precision, which TRL turns on by default, or weights of such a type."""
    return bool(settings.get("bf16", True) or settings.get("fp16")) or settings.get("dtype") in ("bfloat16", "float16")


def load_kernel(name: str) -> str | None:
    """Load a kernel from the Hub, or from its cache, as transformers will; what went wrong, in a line."""
    from transformers.integrations.hub_kernels import load_and_register_attn_kernel

    try:
        load_and_register_attn_kernel(name)
    except (ImportError, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        return f"it did not load ({said[:200]}); without a network, load it once on a machine that has one and share HF_HOME"
    return None


def _problem(name: str, here: Hardware, half: bool) -> str | None:
    """What keeps `name` from being used, told from the machine alone."""
    if not is_flash(name):
        return None
    if here.capability is None:
        return "no CUDA device trains here"
    if not half:
        return "flash attention computes in bf16 or fp16 and the recipe has neither"
    lowest = LOWEST.get(re.split("[@:]", name)[0], (0, 0))
    if here.capability < lowest:
        return f"it needs compute capability {_dotted(lowest)} and {here.device} has {_dotted(here.capability)}"
    if is_hub_kernel(name) and not here.kernels:
        return f'pip install "{KERNELS}"'
    if name in PACKAGES and name not in here.packages:
        return f"pip install {PACKAGES[name]} --no-build-isolation"
    return None


def dense_mask(settings: Mapping[str, Any], name: str | None) -> str | None:
    """A warning where rows share a sequence and the kernel needs a mask of the whole of it."""
    packs = settings.get("packing") and settings.get("packing_strategy", "bfd") in ("bfd", "bfd_split")
    if is_flash(name) or not (packs or settings.get("padding_free")):
        return None
    used = name or "transformers' default attention"
    length = settings.get("max_length", 1024) if packs else None  # 1024: TRL's default
    if length is None:
        return f"rows of a batch share one sequence and {used} masks all of its L x L positions; flash attention does not"
    tokens = settings.get("per_device_train_batch_size", 8) * length  # 8: TRL's default
    return (
        f"packed rows share a sequence of up to {tokens} tokens and {used} masks all of its L x L positions, "
        f"{tokens**2 / 2**20:.0f} MiB at one byte each, and computes them; flash attention does not"
    )


def _reasons(refused: Mapping[str, str]) -> str:
    """Each reason once, with the names that share it."""
    names: dict[str, list[str]] = {}
    for name, reason in refused.items():
        names.setdefault(reason, []).append(name)
    return "; ".join(f"{reason} ({', '.join(of)})" if len(refused) > 1 else reason for reason, of in names.items())


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
