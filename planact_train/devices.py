"""What a recipe's `training.device` can be: how much memory it has and how fast it multiplies, as its maker says."""

from __future__ import annotations

import os
from dataclasses import dataclass

from planact.recipe import RecipeError, Training

GIB = 2**30


@dataclass(frozen=True)
class Device:
    name: str
    memory: int  # bytes; makers write GB for what drivers count in GiB
    peak: float | None  # FLOP/s of dense bf16 matrix products with fp32 sums; None: not published
    source: str


_KNOWN = (
    Device("rtx-4090-24gb", 24 * GIB, 165.2e12, "NVIDIA Ada GPU architecture whitepaper, appendix A"),
    Device("a100-40gb", 40 * GIB, 312e12, "NVIDIA A100 data sheet, SXM"),
    Device("a100-80gb", 80 * GIB, 312e12, "NVIDIA A100 data sheet, SXM"),
    Device("h100-80gb", 80 * GIB, 989.4e12, "NVIDIA H100 data sheet, SXM; half of its figure with sparsity"),
    Device("h200-141gb", 141 * GIB, 989.4e12, "NVIDIA H200 data sheet, SXM; half of its figure with sparsity"),
    Device("b200-180gb", 179 * GIB, 2250e12, "NVIDIA DGX B200 data sheet, an eighth of the system; half of its figure with sparsity"),
)
DEVICES = {device.name: device for device in _KNOWN}
CPU = "cpu"


def device_of(training: Training) -> Device:
    """The device that the recipe names; `cpu` is this machine, shared by all processes. Raises RecipeError with the known names."""
    if training.device == CPU:
        return Device(CPU, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // training.processes, None, "this machine")
    if training.device not in DEVICES:
        raise RecipeError(f"training.device: '{training.device}' is not known; choose from {', '.join([CPU, *DEVICES])}")
    return DEVICES[training.device]
