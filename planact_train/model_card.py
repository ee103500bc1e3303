"""The model card: front matter that the Hub reads, and what the model is, how to run it, what it was made from and what it scored.

`write_card` reads the files of a model folder and nothing else (run.json, recipe.yaml, finished.json, curve.json, results/), so that it
can be written again; while a model is still trained it tells what is known so far. Nothing of this machine is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from planact.launcher import launcher
from planact.layout import CURVE, FINISHED, RUN, TELLING
from planact.recipe import Training
from planact_train import curve as curves
from planact_train.privacy import without_machine
from planact_train.results import Evaluation, eval_results, model_index, note_of, percent, read_results

CARD = "README.md"
DRAWING = "curve.svg"
PAPER_URL = "https://arxiv.org/abs/2503.09572"
_PAPER = {  # `sft` key -> the paper's value, A.4 and Table 6; what is not here the paper leaves open
    "learning_rate": "2e-5",
    "optim": "AdamW",
    "lr_scheduler_type": "cosine",
    "warmup_steps": "0.1",
    "num_train_epochs": "1",
    "bf16": "True",
}
_ASIDE = (*TELLING, "logging_", "save_", "use_cpu")  # begin `sft` keys that no weight depends on
_DOES = {
    "planner": "writes the plan of a web task from the request and the first page, and plans anew where the recipe asks for it",
    "executor": "turns the plan and the page at hand into the next action",
}
_LIMITS = (
    "It answers prompts of planact's form; other prompts are outside of what it was trained on.",
    "It was trained on English pages and requests; what its teacher could not do, it has not seen.",
    "What it does on real sites is real. Run it in a sandbox, on accounts that may be changed, with a person who watches.",
)


@dataclass(frozen=True)
class Names:
    """What a card calls things that have a name on the Hub only."""

    repo: str = "owner/name"
    base: str | None = None  # of a base that the recipe names by a folder
    rows: str | None = None  # the dataset of the training rows
    benchmark: str | None = None  # the dataset whose leaderboard shows the success rates


def write_card(folder: Path, names: Names = Names(), into: Path | None = None, step: int | None = None) -> None:
    """Write README.md, the curve and `.eval_results/`. `into` and `step`: for a checkpoint of the model in `folder`."""
    into = into or folder
    (into / CARD).write_text(card(folder, names, into, step), encoding="utf-8")
    if step is None:
        if drawn := curves.drawing(_read(folder / CURVE, [])):
            (into / DRAWING).write_text(drawn, encoding="utf-8")
        role, benchmark = _read(folder / RUN)["role"], names.benchmark or f"{names.repo.split('/')[0]}/planact-benchmarks"
        for name, entries in eval_results(read_results(folder), role, benchmark).items():
            path = into / ".eval_results" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True), encoding="utf-8")


def card(folder: Path, names: Names = Names(), weights: Path | None = None, step: int | None = None) -> str:
    """The text of the card. `weights` is the folder that holds the model or adapter, `folder` the one that holds its records."""
    run, recipe = _read(folder / RUN), yaml.safe_load((folder / "recipe.yaml").read_text())
    finished, adapter = _read(folder / FINISHED), ((weights or folder) / "adapter_config.json").exists()
    evaluations = {} if step else read_results(folder)
    role, base = run["role"], names.base or run["base_model"]["hub_id"]
    about = f"This {'adapter' if adapter else 'model'} is the **{role}** of the Plan-and-Act recipe `{run['recipe']}`: it {_DOES[role]}."
    sections = [
        f"# {role.capitalize()} of {run['recipe']}" + (f", step {step}" if step else ""),
        f"{about}\n{recipe.get('description', '')}\nMethod: [Plan-and-Act]({PAPER_URL}), supervised fine-tuning with TRL.",
        _section("Base model", [_base(run["base_model"], names.base)]),
        _section("Use", _use(names.repo, role, base, adapter, recipe)),
        _section("Evaluation", _evaluations(evaluations, role)),
        _section("Training data", _data(run["data"], finished.get("tokens"), names.rows)),
        _section("Settings", _settings(recipe, role)),
        _section("Training curve", _curve(folder, step)),
        _section("Where it was trained", _hardware(finished, run)),
        _section("Limits", [f"- {limit}" for limit in _LIMITS]),
        _section("Train it again", _again(recipe, role)),
    ]
    front = yaml.safe_dump(_front_matter(run, recipe, base, adapter, evaluations, names), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(
    run: Mapping[str, Any], recipe: Mapping[str, Any], base: str | None, adapter: bool, evaluations: Mapping[str, Evaluation], names: Names
) -> dict[str, Any]:
    quantized = recipe.get("sft", {}).get("load_in_4bit")
    front: dict[str, Any] = {"language": ["en"], "library_name": "peft" if adapter else "transformers", "pipeline_tag": "text-generation"}
    if base:
        front |= {"license": "other", "license_name": "that-of-the-base-model", "license_link": f"https://huggingface.co/{base}"}
        front |= {"base_model": base, "base_model_relation": "adapter" if adapter else "finetune"}
    else:
        front |= {"license": "unknown"}
    if names.rows:
        front["datasets"] = [names.rows]
    front["tags"] = ["plan-and-act", "web-agents", run["role"], "trl", "sft", *(["qlora" if quantized else "lora"] if adapter else [])]
    if index := model_index(evaluations, run["role"], names.repo.split("/")[-1], names.benchmark):
        front["model-index"] = index
    return front


def _base(origin: Mapping[str, Any], named: str | None) -> str:
    if name := named or origin["hub_id"]:
        revision = f", revision `{origin['revision']}`" if origin["revision"] else ""
        return f"[{name}](https://huggingface.co/{name}){revision}. Its licence holds for this model too."
    return f"`{origin['name']}`, {origin['made']} (content hash `{origin['content']}`). Its licence holds for this model too."


def _use(repo: str, role: str, base: str | None, adapter: bool, recipe: Mapping[str, Any]) -> list[str]:
    rank = {**recipe.get("sft", {}), **recipe.get("sft", {}).get(role, {})}.get("lora_r", 16)  # 16: TRL's default
    lora = f"vllm serve {base or 'BASE'} --enable-lora --max-lora-rank {rank} --lora-modules {role}={repo}"
    served = lora if adapter else f"vllm serve {repo} --served-model-name {role}"
    agent = recipe.get("agent", {})
    plan_nothing = "executor_messages(agent, request, plan=None, turns=[], page=page)"
    messages = "planner_messages(agent, request, page)" if role == "planner" else plan_nothing
    return [
        "With vLLM, and then `endpoints." + role + "` of a planact recipe with `eval.serving: endpoint`:",
        *("", "```", served, "```", ""),
        "With transformers" + (" and peft" if adapter else "") + " (prompts come from planact, which renders them as in training):",
        *("", "```python"),
        "from planact.prompts import " + messages.split("(")[0],
        "from planact.recipe import Agent",
        "from planact.types import Observation",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{repo}")',
        f'model = AutoModelForCausalLM.from_pretrained("{repo}", dtype="auto")',
        f'agent = Agent(prompts="{agent.get("prompts", "full")}", observation="{agent.get("observation", "axtree")}")',
        'page = Observation(url="http://shop.example", text="[1] link \'Cart\'", outline="link \'Cart\'")',
        'request = "Open the cart."',
        f"messages = {messages}",
        'inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)',
        "answer = model.generate(**inputs, max_new_tokens=256, do_sample=False)",
        'print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
        "```",
    ]


def _evaluations(evaluations: Mapping[str, Evaluation], role: str) -> list[str]:
    if not evaluations:
        return []
    lines = ["| benchmark | split | tasks | success | 95% interval | what was measured |", "|---|---|---|---|---|---|"]
    for one in evaluations.values():
        settings, summary = one["settings"], one["summary"]
        cells = [f"{settings['suite']} {settings['suite_version']}", settings["split"], summary["planned"], f"{percent(summary['rate'])}%"]
        cells += [f"{percent(summary['low'])} to {percent(summary['high'])}", note_of(one, role)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return [*lines, "", "The rates are of the whole agent, planner and executor together."]


def _data(data: Mapping[str, Any], tokens: Mapping[str, Any] | None, rows: str | None) -> list[str]:
    teachers = ", ".join(f"{role} {_cell(str(model))}" for role, model in data["teachers"].items()) or "not recorded"
    where = f"[{rows}](https://huggingface.co/datasets/{rows})" if rows else "not published with this model"
    lines = [f"Training tasks of {data['suite']}; rows: {where}; written by: {teachers}.", "", "| row | source | rows | hash |"]
    lines.append("|---|---|---|---|")
    for kind, sources in data["rows"].items():
        lines += [f"| `{kind}` | {source} | {entry['rows']} | `{entry['hash']}` |" for source, entry in sources.items()]
    if tokens:
        packed = f"; packed sequences are {tokens['efficiency']:.1%} full" if tokens.get("efficiency") else ""
        kept = f"{tokens['tokens_kept']:.2%} of {tokens['tokens']:,} tokens were trained on within `max_length`"
        lines += ["", f"{kept} ({tokens['answer_tokens']:,} of them answers, which alone carry loss){packed}."]
    return lines


def _settings(recipe: Mapping[str, Any], role: str) -> list[str]:
    shared = recipe.get("sft", {})
    settings = {**{k: v for k, v in shared.items() if k not in _DOES}, **shared.get(role, {})}
    settings = {key: value for key, value in settings.items() if not key.startswith(_ASIDE)}
    settings["batch"] = recipe.get("training", {}).get("batch")
    lines = ["| setting | value | paper |", "|---|---|---|"]
    for key, value in sorted(settings.items()):
        if value is not None:
            paper = "32" if key == "batch" else _PAPER.get(key, "not stated")
            lines.append(f"| `{key}` | {_cell(str(without_machine(value)))} | {paper} |")
    return [*lines, "", f"Seed {recipe['seed']}."]


def _curve(folder: Path, step: int | None) -> list[str]:
    curve = _read(folder / CURVE, [])
    if step or not curve:
        return []
    drawn = [f"![Training loss over steps]({DRAWING})", ""] if curves.drawing(curve) else []
    return [*drawn, *curves.table(curve)]


def _hardware(finished: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    start = run["starts"][-1]
    lines = [f"- {key}: {_cell(str(value))}" for key, value in finished.get("launch", {}).items()]
    dirty = " with local changes" if start["dirty"] else ""
    commit = f"commit `{start['commit']}`{dirty}" if start["commit"] else "a release"
    versions = ", ".join(f"{name} {version}" for name, version in start["versions"].items())
    return [*lines, f"- planact: {commit}", f"- versions: {versions}", f"- starts: {len(run['starts'])}, the last at {start['time']}"]


def _again(recipe: Mapping[str, Any], role: str) -> list[str]:
    text = yaml.safe_dump(without_machine(recipe), sort_keys=False, allow_unicode=True).strip()
    asked = recipe.get("training", {})
    start = launcher(Training(launch=asked.get("launch", "cpu"), processes=asked.get("processes", 1)))
    command = f"{start} --config recipe.yaml --role {role}"
    return [f"`{command}`, where recipe.yaml is", "", "```yaml", text, "```"]


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""


def _cell(text: str) -> str:
    """Text from elsewhere must not end its cell, row or line."""
    return " ".join(text.replace("|", "\\|").split())


def _read(path: Path, default: Any = None) -> Any:
    return json.loads(path.read_text()) if path.exists() else ({} if default is None else default)
