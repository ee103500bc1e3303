"""Muon for the matrices inside a model, AdamW for what is left (embeddings, norms, convolutions), as one optimizer.

Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/) orthogonalises each matrix's momentum; a tiny model learns to copy
in about three quarters of the steps that AdamW takes (docs/LOG.md). torch's Muon takes matrices only, and a trainer wants one optimizer.
"""

from __future__ import annotations

from typing import Any, Iterable

import torch


class MuonAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` side by side; a scheduler sees the parameter groups of both.

    Muon's updates are scaled to AdamW's root mean square (Liu 2025, arXiv 2502.16982), so one learning rate fits both.
    """

    def __init__(self, named_parameters: Iterable[tuple[str, torch.nn.Parameter]], lr: float, beta2: float, weight_decay: float):
        named = [(name, p) for name, p in named_parameters if p.requires_grad]
        inner = [p for name, p in named if is_inner_matrix(name, p)]
        rest = [p for name, p in named if not is_inner_matrix(name, p)]
        self.parts: list[torch.optim.Optimizer] = []
        if inner:
            self.parts.append(torch.optim.Muon(inner, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
        if rest:  # an adapter has nothing but matrices
            self.parts.append(torch.optim.AdamW(rest, lr=lr, betas=(0.9, beta2), weight_decay=weight_decay))
        super().__init__([group for part in self.parts for group in part.param_groups], {})  # the same dicts: a new lr reaches the parts

    @torch.no_grad()
    def step(self, closure=None):
        if closure is not None:
            raise ValueError("MuonAdamW takes no closure; compute the gradients before step()")
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def is_inner_matrix(name: str, parameter: torch.nn.Parameter) -> bool:
    return parameter.ndim == 2 and "embed" not in name and "lm_head" not in name
