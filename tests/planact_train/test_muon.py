"""Two optimizers behind one: which parameters go where, that a schedule reaches both, and that a saved state goes on the same."""

import copy

import pytest
import torch

from planact_train.muon import MuonAdamW


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    net = torch.nn.Module()
    net.embed_tokens = torch.nn.Embedding(7, 4)
    net.inner = torch.nn.Linear(4, 4)
    net.lm_head = torch.nn.Linear(4, 7, bias=False)
    return net


def step(net: torch.nn.Module, optimizer: MuonAdamW) -> None:
    net.lm_head(net.inner(net.embed_tokens(torch.arange(7)))).pow(2).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_muon_gets_inner_matrices_and_adamw_the_rest():
    net = model()
    muon, adamw = MuonAdamW(net.named_parameters(), 0.1, 0.95, 0.01).parts
    assert [p for g in muon.param_groups for p in g["params"]] == [net.inner.weight]
    assert [p.shape for g in adamw.param_groups for p in g["params"]] == [(7, 4), (4,), (7, 4)]


def test_a_muon_step_is_an_orthogonal_matrix_at_the_size_of_an_adamw_step():
    # scaled by 0.2 * sqrt(4), its four singular values near 1: root mean square 0.4 / sqrt(4) = 0.2, times the rate 0.1
    net = model()
    before = net.inner.weight.detach().clone()
    step(net, MuonAdamW(net.named_parameters(), 0.1, 0.95, 0.0))
    moved = net.inner.weight.detach() - before
    assert moved.pow(2).mean().sqrt() == pytest.approx(0.02, rel=0.3)


def test_a_schedule_reaches_both_parts():
    net = model()
    optimizer = MuonAdamW(net.named_parameters(), 0.1, 0.95, 0.0)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    before = copy.deepcopy(net.state_dict())
    step(net, optimizer)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_saved_state_goes_on_as_if_never_stopped():
    one = model()
    optimizer = MuonAdamW(one.named_parameters(), 0.1, 0.95, 0.01)
    step(one, optimizer)
    other = copy.deepcopy(one)
    resumed = MuonAdamW(other.named_parameters(), 0.5, 0.95, 0.01)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(one, optimizer)
    step(other, resumed)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="no closure"):
        MuonAdamW(model().named_parameters(), 0.1, 0.95, 0.0).step(lambda: 0)


def test_a_recipe_names_muon_as_its_optimizer(base, conversations, tmp_path):
    from datasets import Dataset

    from planact_train.settings import MUON, sft_config
    from planact_train.trainer import AnswerTrainer

    settings = {
        "optim": MUON,
        "use_cpu": True,
        "bf16": False,
        "learning_rate": 0.5,
        "adam_beta2": 0.9,
        "weight_decay": 0.25,
        "max_length": 512,
    }
    config = sft_config(settings | {"report_to": "none", "max_length": 512}, tmp_path, seed=0)
    rows = Dataset.from_list(conversations[:8])
    optimizer = AnswerTrainer(model=str(base), args=config, train_dataset=rows, muon=True).create_optimizer()
    assert isinstance(optimizer, MuonAdamW)
    assert {(group["lr"], group["weight_decay"]) for group in optimizer.param_groups} == {(0.5, 0.25)}
    plain = AnswerTrainer(model=str(base), args=config, train_dataset=rows).create_optimizer()
    assert type(plain) is torch.optim.AdamW


def test_a_model_of_matrices_alone_has_no_adamw():
    # As an adapter of LoRA has.
    [muon] = MuonAdamW([("lora_A.weight", torch.nn.Parameter(torch.ones(2, 3)))], 0.1, 0.95, 0.0).parts
    assert type(muon) is torch.optim.Muon
