"""One YAML file is one ablation row: the types of a recipe, and how a file becomes one.

`load_recipe` reads the file, merges its parents (`extends`) and the `--set` overrides, and checks every name, type and
range before anything heavy is imported. A missing section means that the stage is not part of the recipe.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from planact.recipe_check import UnknownKey, build, check_keys, rule, wrong
from planact.recipe_yaml import Node, RecipeError, dump, merge, read_override, read_tree
from planact.sft_keys import sft_keys
from planact.types import content_hash, to_dict

__all__ = ["Agent", "Data", "Endpoint", "Eval", "Pretrain", "Recipe", "RecipeError", "Serving", "Training", "load_recipe", "resolve"]

Role = Literal["planner", "executor", "teacher", "actor", "reasoner", "judge", "orm"]
RowKind = Literal["plan", "replan", "act", "act_dynamic", "react"]
Trigger = Literal["action_failed", "page_unchanged", "loop", "plan_exhausted", "unexpected_page", "budget"]
Source = Literal["seed", "synthetic", "expansion", "targeted", "webrl", "released"]  # of a training row
TRAINED_ROLES = ("planner", "executor")


@dataclass(frozen=True)
class Agent:
    """How an episode is run. `none` plans nothing, `base` prompts the base model, `trained` the recipe's own checkpoint."""

    planner: Literal["none", "base", "trained"] = "trained"
    executor: Literal["base", "trained"] = "trained"
    replan: Literal["never", "every_turn", "every_k", "on_trigger"] = "never"
    replan_every: int = rule(3, low=1)  # turns, for every_k
    replan_triggers: tuple[Trigger, ...] = ("action_failed", "page_unchanged", "loop")  # rules of planact.triggers, for on_trigger
    prompts: Literal["full", "compact"] = "full"
    observation: Literal["axtree", "html", "short"] = "axtree"
    grammar: Literal["webrl", "browsergym"] = "webrl"
    cot: Literal[False, True, "planner", "executor"] = False  # reasoning in <think> tags before every plan and action (paper 3.4), or one's
    max_page_tokens: int | None = rule(None, low=16)  # longer pages lose whole nodes, in training rows and prompts alike; None: no limit
    plan_history: int | None = rule(None, low=0)  # earlier plans kept as chat turns for the replanner; None: all (paper A.10)
    max_turns: int = rule(30, low=1)  # turns; the released code's default
    planner_max_tokens: int = rule(4096, low=1)  # completion tokens of one call
    executor_max_tokens: int = rule(1024, low=1)  # completion tokens of one call
    temperature: float = rule(0.0, low=0)  # 0: greedy (paper)
    best_of: int = rule(1, low=1)  # answers of the executor for each turn; the action that most of them name is taken
    max_episode_tokens: int | None = rule(None, low=1)  # prompt + completion tokens of one episode; None: no limit
    max_episode_seconds: float | None = rule(None, low=0.001)  # wall time of one episode before it is scored; None: no limit
    planner_retries: int = rule(1, low=0)  # calls after an unreadable plan

    def reasons(self, role: str) -> bool:
        """Whether "planner" or "executor" reasons before it answers."""
        return self.cot is True or self.cot == role


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server that plays one role."""

    base_url: str = rule(pattern=r"(https?://\S+)?", wants="a URL such as http://localhost:8000/v1; empty for vLLM in this process")
    model: str = rule(pattern=r".+", wants="the model's name on that server")
    api_key_env: str = rule(
        "",
        pattern=r"([A-Z_][A-Z0-9_]*)?",
        wants="the NAME of an environment variable such as OPENAI_API_KEY, never the key itself",
        secret=True,
    )
    usd_per_m_prompt: float | None = rule(None, low=0)  # USD per million tokens; None: not known
    usd_per_m_completion: float | None = rule(None, low=0)  # USD per million tokens; None: not known
    timeout: float = rule(120.0, low=0.001)  # seconds per call
    max_in_flight: int = rule(16, low=1)  # calls


@dataclass(frozen=True)
class Data:
    """What the training rows are made of. The paper's sizes: 1,113 tasks, 923 synthetic, 10,000 expansion, 5,000 targeted."""

    suite: str = "miniweb"
    tasks: int | None = rule(None, low=1)  # training tasks rolled out; None: all
    synthetic: int = rule(0, low=0)  # solved trajectories of requests that the teacher wrote (paper 4.1)
    expansion: int = rule(0, low=0)  # pairs of request and plan that the teacher wrote after seed pairs (paper 4.3)
    targeted: int = rule(0, low=0)  # variants of the seed pairs that failures call for (paper 4.3)
    failures_of: str = ""  # run.sqlite of an evaluation on the validation split; empty: the actor is tried on that split
    outcome_filter: Literal["environment", "judge", "orm"] = "environment"  # what says that a synthetic task is solved
    imports: Mapping[Literal["webrl", "released"], str] = field(default_factory=dict)  # format -> a file from elsewhere
    teacher: Literal["scripted", "endpoint", "batch", "vllm"] = "scripted"
    teacher_error_rate: float = rule(0.0, low=0, high=1)  # share of the scripted teacher's answers that are wrong on purpose
    planner: tuple[Literal["plan", "replan"], ...] = ("plan",)  # row kinds
    executor: tuple[Literal["act", "act_dynamic", "react"], ...] = ("act",)  # row kinds
    planner_sources: tuple[Source, ...] = ()  # which of the built rows the planner is trained on; empty: all
    executor_sources: tuple[Source, ...] = ()  # the same of the executor: the columns of the paper's Table 1
    near_duplicate: float = rule(0.9, low=0, high=1)  # Jaccard threshold of 5-character shingles
    max_rows: Mapping[RowKind, int] = field(default_factory=dict)  # kind -> rows kept at most, drawn by the seed; all where not named
    max_usd: float | None = rule(None, low=0)  # dollars for all models of the builder, earlier runs included; None: no limit


@dataclass(frozen=True)
class Pretrain:
    """A tiny base model made from nothing: its size and what it is drilled on (planact_train.base)."""

    vocab_size: int = rule(1536, low=300)  # tokens
    hidden_size: int = rule(128, low=16)
    layers: int = rule(4, low=2)  # convolution and attention in turn
    conversations: int = rule(1000, low=1)  # training chats
    walks: int = rule(200, low=0)  # random walks that add pages to the crawled ones


@dataclass(frozen=True)
class Training:
    """Where a model is trained, and what is watched meanwhile: what TRL's own settings in `sft` leave open."""

    launch: Literal["cpu", "ddp", "fsdp2", "fsdp2_qlora", "fsdp2_multinode", "deepspeed_zero3"] = "cpu"  # file of accelerate_configs/
    processes: int = rule(1, low=1)  # over all nodes, one for each device
    device: str = "cpu"  # of planact_train.devices, for the memory and the hours of scripts/plan.py
    batch: int | None = rule(None, low=1)  # rows per optimizer step over all processes; sets gradient_accumulation_steps
    min_kept: float = rule(0.999, low=0, high=1)  # share of the rows' tokens, and of their answers', that must fit `sft.max_length`
    held_out: int = rule(0, low=0)  # rows of each kind kept from training, on which loss and accuracy are measured
    answer_every: int | None = rule(None, low=1)  # steps after which held-out rows are answered by generation; None: never
    answer_rows: int = rule(16, low=1)  # held-out rows answered each time
    merge: bool = False  # save an adapter also merged into its base, as a model that any server loads


@dataclass(frozen=True)
class Eval:
    """What is measured, and on what."""

    suite: str = "miniweb"
    split: Literal["train", "validation", "test"] = "test"
    scorer: str | None = None  # None: the suite's own, the first that it names
    limit: int | None = rule(None, low=1)  # tasks; None: all
    repeats: int = rule(1, low=1)  # episodes of every task, with the seeds seed, seed + 1, ...
    episodes_in_flight: int = rule(8, low=1)
    serving: Literal["local", "endpoint", "vllm"] = "local"  # a transformers model in this process, `endpoints`, or vLLM started for it
    backend: Literal["asyncio", "ray"] = "asyncio"  # episodes in this process, or on all machines of a Ray cluster
    env_retries: int = rule(1, low=0)  # times that an episode whose environment broke (a killed browser) is played again
    max_usd: float | None = rule(None, low=0)  # dollars for planner, executor and judge, earlier runs included; None: no limit
    allowed_hosts: tuple[str, ...] = ()  # hosts that pages may load from beside the suite's sites; "*.example.com" for a domain's
    screenshots: bool = False  # keep a picture of every page, where the back end can draw


@dataclass(frozen=True)
class Serving:
    """How vLLM serves models for `eval.serving: vllm` and scripts/serve.py. Names and meanings are those of `vllm serve`."""

    tensor_parallel_size: int = rule(1, low=1)  # GPUs that share one copy of a model
    data_parallel_size: int = rule(1, low=1)  # copies
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "bfloat16"
    max_model_len: int | None = rule(None, low=16)  # tokens of prompt and answer; None: the model's own
    max_num_seqs: int | None = rule(None, low=1)  # answers at a time; None: vLLM's choice
    gpu_memory_utilization: float = rule(0.9, low=0.01, high=1)  # vLLM's default; shared by the servers when two bases are served
    enable_prefix_caching: bool = True  # the turns of an episode share their beginning
    structured_outputs: bool = False  # the executor can only write what its grammar allows
    options: Mapping[str, Any] = field(default_factory=dict)  # further options of `vllm serve`, e.g. swap-space: 4
    start_seconds: float = rule(1800.0, low=1)  # until a server must answer; ours: a 70B model loads for minutes


@dataclass(frozen=True)
class Recipe:
    """One row of an ablation, resolved: no parents, no overrides."""

    name: str = rule(
        pattern=r"[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*", wants="a name usable as a folder (letters, digits, . _ + - and / between parts)"
    )
    seed: int = rule(low=0, high=2**32 - 1)  # what numpy accepts
    base_model: str = rule(pattern=r".+", wants="a Hub id or a folder")
    description: str = ""
    agent: Agent | None = None
    endpoints: Mapping[Role, Endpoint] = field(default_factory=dict)
    data: Data | None = None
    pretrain: Pretrain | None = None
    training: Training = field(default_factory=Training)
    sft: Mapping[str, Any] | None = None  # TRL's SFTConfig and ModelConfig names; `planner:` and `executor:` override per role
    eval: Eval | None = None
    serving: Serving = field(default_factory=Serving)

    def sft_for(self, role: str) -> dict[str, Any]:
        """The `sft` settings of "planner" or "executor". Raises RecipeError without an `sft` section or on another role."""
        if role not in TRAINED_ROLES:
            raise RecipeError(f"no sft settings for the role '{role}'; roles are planner and executor")
        if self.sft is None:
            raise RecipeError(f"the recipe '{self.name}' has no sft section; add `sft: {{}}` for TRL's defaults")
        shared = {key: value for key, value in self.sft.items() if key not in TRAINED_ROLES}
        return copy.deepcopy(_merged(shared, self.sft.get(role, {})))  # trainers write into such settings

    def to_yaml(self) -> str:
        """The resolved recipe; it loads to an equal one."""
        return dump({key: value for key, value in to_dict(self).items() if value is not None})

    def section_hash(self, *names: str) -> str:
        """Content hash of the named sections and scalars. Raises RecipeError on an unknown name."""
        known = to_dict(self)
        for name in names:
            if name not in known:
                raise RecipeError(f"a recipe has no section '{name}'; choose from {', '.join(known)}")
        return content_hash({name: known[name] for name in names})


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in `path` with its parents merged in and `section.key=value` overrides on top, the last one winning.

    Raises RecipeError, whose message names the place and the key.
    """
    return resolve(read_tree(Path(path)), [read_override(text) for text in overrides])


def resolve(tree: Node, layers: Sequence[Node] = ()) -> Recipe:
    """A recipe's tree with override trees laid over it, checked. Raises RecipeError."""
    tree = reduce(merge, layers, tree)
    try:
        recipe = build(Recipe, tree)
        if recipe.sft is not None:
            _check_sft(tree.value["sft"])
    except UnknownKey as error:
        homes = _elsewhere(error.key)
        hint = f" ('{error.key}' belongs to {' and '.join(homes)})" if homes else ""
        raise RecipeError(f"{error}{hint}") from None
    _check_conflicts(recipe, tree)
    return recipe


def _elsewhere(key: str) -> list[str]:
    """The sections that know `key`."""
    sections = {
        "the top level": Recipe,
        "agent": Agent,
        "endpoints.<role>": Endpoint,
        "data": Data,
        "training": Training,
        "eval": Eval,
        "serving": Serving,
    }
    homes = [name for name, kind in sections.items() if key in {field.name for field in dataclasses.fields(kind)}]
    return homes + ["sft"] * (key in sft_keys())


def _check_sft(node: Node) -> None:
    """Raises RecipeError on a key that TRL does not know. Values are TRL's to check."""
    for role in TRAINED_ROLES:
        if role in node.value:
            if not isinstance(node.value[role].value, dict):
                raise wrong(node.value[role], f"sft.{role}", f"a mapping of TRL settings, e.g. `{role}: {{lora_r: 16}}`")
            if sft_keys():
                check_keys(node.value[role], sft_keys(), f"sft.{role}")
    if sft_keys():
        check_keys(node, sft_keys() | set(TRAINED_ROLES), "sft")


def _check_conflicts(recipe: Recipe, tree: Node) -> None:
    """Raises RecipeError on settings that are valid alone and cannot work together."""

    def refuse(section: str, key: str, reason: str) -> None:
        raise RecipeError(f"{tree.value[section].value[key].where}: {section}.{key}: {reason}")

    agent, roles = recipe.agent, []
    if agent and agent.planner == "none" and agent.replan != "never":
        refuse("agent", "replan", f"'{agent.replan}' needs a planner; set agent.replan to never, or agent.planner to base or trained")
    if agent and agent.best_of > 1 and not agent.temperature:
        refuse("agent", "best_of", "at temperature 0 all answers are the same; set agent.temperature, e.g. 0.7")
    if recipe.data and recipe.data.imports and agent and (agent.observation, agent.grammar) != ("html", "webrl"):
        refuse("data", "imports", "those pages and actions are WebRL's; set agent.observation to html and agent.grammar to webrl")
    if recipe.data and recipe.data.teacher != "scripted":
        roles.append(("data", "teacher", "teacher"))
    if recipe.eval and recipe.eval.serving == "endpoint":
        roles.append(("eval", "serving", "executor"))
        if agent and agent.planner != "none":
            roles.append(("eval", "serving", "planner"))
    if recipe.eval and recipe.eval.backend == "ray":
        if recipe.eval.serving != "endpoint":
            advice = "start them with scripts/serve.py, set eval.serving to endpoint and name them in endpoints"
            refuse("eval", "backend", f"'ray' needs models that every machine reaches; {advice}")
        if recipe.eval.screenshots:
            refuse("eval", "backend", "with 'ray' screenshots would stay on other machines; set eval.screenshots to false")
    for role, endpoint in recipe.endpoints.items():
        if not endpoint.base_url and not (recipe.data and recipe.data.teacher == "vllm" and role not in TRAINED_ROLES):
            where = tree.value["endpoints"].value[role].where
            raise RecipeError(f"{where}: endpoints.{role}.base_url is empty, which is for data.teacher: vllm; name a server")
    for section, key, role in roles:
        if role not in recipe.endpoints:
            refuse(section, key, f"'{getattr(getattr(recipe, section), key)}' needs a model; add endpoints.{role} with base_url and model")


def _merged(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """The rule of `extends` on plain data."""
    result = dict(base)
    for key, value in child.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result
