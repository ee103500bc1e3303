"""The scripts as a user types them, each in a process of its own: what they say, how they end, and how they go on."""

import ast
import re
import runpy
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from planact.layout import data_folder, data_store
from planact.store import read_run
from planact_envs.suites import load_suite
from planact_eval.runner import evaluate

REPO = Path(__file__).parents[1]
OF_RUNS = ("calibrate.py", "compare.py", "failures.py", "rescore.py", "view.py")  # read run folders; report.py reads either
SCRIPTS = sorted({path.name for path in (REPO / "scripts").glob("*.py")} - set(OF_RUNS))  # take a recipe
NEEDED = {"merge.py": ["--role", "planner"], "sft.py": ["--role", "planner"], "push.py": ["--repo", "me/rows"]}
TORCH = re.compile(r"\| +(torch|transformers|trl|datasets)$", re.M)  # a line of `python -X importtime`


def call(script, *arguments, flags=()):
    command = [sys.executable, *flags, f"scripts/{script}", *map(str, arguments)]
    return run(command)


def run(command):
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300, check=False)


def settings(changes, *more):
    return [f"--set={change}" for change in (*changes, *more)]


def config_of(script):
    table = "recipes/ablations/miniweb-quick.yaml"
    other = {"ablate.py": table, "report.py": table, "pretrain.py": "recipes/tiny/base.yaml"}
    return other.get(script, "recipes/tiny/finetuning.yaml")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_shows_a_command_that_can_be_typed(script):
    done = call(script, "--help", flags=["-X", "importtime"])
    assert done.returncode == 0 and not TORCH.search(done.stderr)
    docstring = ast.get_docstring(ast.parse((REPO / "scripts" / script).read_text()))
    [command] = [line.strip() for line in docstring.splitlines() if f"scripts/{script} --config" in line]
    assert command in done.stdout
    assert (REPO / re.search(r"--config (\S+)", command.split(script)[1])[1]).is_file()
    assert all(option in done.stdout for option in ("--config", "--set", "--runs"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_typo_is_refused_at_once_with_the_nearest_name(script):
    done = call(script, "--config", config_of(script), *NEEDED.get(script, []), "--set", "agent.replann=never", flags=["-X", "importtime"])
    assert done.returncode == 2 and not done.stdout
    assert re.search(r"^error: .*unknown key 'replann' in section 'agent'.*'replan'", done.stderr, re.M)
    assert "Traceback" not in done.stderr and not TORCH.search(done.stderr)


@pytest.mark.parametrize("script", OF_RUNS)
def test_help_shows_a_command_on_a_run_that_can_be_typed(script):
    done = call(script, "--help", flags=["-X", "importtime"])
    assert done.returncode == 0 and not TORCH.search(done.stderr)
    docstring = ast.get_docstring(ast.parse((REPO / "scripts" / script).read_text()))
    [command] = [line.strip() for line in docstring.splitlines() if f"scripts/{script} runs/eval/" in line]
    assert command in done.stdout and not re.search(r"--config", command)


@pytest.mark.parametrize("script", OF_RUNS)
def test_a_folder_that_is_no_run_is_refused_at_once(script, tmp_path):
    needed = {"rescore.py": ["--scorer", "vab"], "compare.py": [tmp_path / "other"]}
    done = call(script, tmp_path, *needed.get(script, []), flags=["-X", "importtime"])
    assert done.returncode == 2 and not done.stdout
    assert re.search(rf"^error: {tmp_path} is no run folder: it has no run.sqlite", done.stderr, re.M)
    assert "Traceback" not in done.stderr and not TORCH.search(done.stderr) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("script, section", [(f"{name}.py", "agent") for name in ("evaluate", "build_data", "sft", "merge", "push")])
def test_a_recipe_without_the_stage_is_refused(script, section, tmp_path):
    done = call(script, "--config", "recipes/tiny/base.yaml", *NEEDED.get(script, []), "--runs", tmp_path / "runs")
    assert done.returncode == 2 and f"error: the recipe 'tiny/base' has no section `{section}`" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "runs").exists()


def test_a_report_is_of_a_table_or_of_runs_and_of_nothing_else(tmp_path):
    for arguments in ([], ["--config", "recipes/ablations/miniweb-quick.yaml", "run"], ["run", "--set", "seed=1"]):
        done = call("report.py", *arguments)
        assert done.returncode == 2 and re.search("error: (name either an ablation table|--set changes the recipes)", done.stderr)
    done = call("report.py", tmp_path, "--runs", tmp_path / "runs", flags=["-X", "importtime"])
    assert done.returncode == 2 and f"error: {tmp_path} is no run folder" in done.stderr and not TORCH.search(done.stderr)
    done = call("report.py", "--config", "recipes/ablations/miniweb-quick.yaml", "--runs", tmp_path / "runs")
    assert done.returncode == 2 and "error: nothing of this has been evaluated" in done.stderr and not (tmp_path / "runs").exists()


def test_a_base_is_only_made_from_a_recipe_for_one(tmp_path):
    done = call("pretrain.py", "--config", "recipes/tiny/react.yaml", "--set", f"base_model={tmp_path / 'model'}")
    assert done.returncode == 2 and "error: the recipe 'tiny/react' has no section `pretrain`" in done.stderr
    assert not (tmp_path / "model").exists()


def test_plan_shows_what_would_be_done_and_writes_nothing(changes, tmp_path):
    runs = tmp_path / "runs"
    done = call("plan.py", "--config", "recipes/tiny/finetuning.yaml", *settings(changes), "--runs", runs)
    assert done.returncode == 0, done.stderr
    for line in (
        "name: tiny/finetuning",  # the resolved recipe, parents and overrides in it
        "max_turns: 10",
        "max_steps: 6",
        "12 of 3117 training tasks of miniweb-short 1.0.0, 0 rolled out; teacher scripted",
        "rows: plan (to build), react (to build), act (to build), act_dynamic (to build)",
        "training  cpu x 1 on cpu",
        "trained (100.00%, full)",
        "steps     6 of 4 rows (4 x 1 passes x 1 processes)",
        "\n          fits ",
        "planner   to train: the plan rows of tiny/finetuning are not built",
        "executor  to train: the react, act, act_dynamic rows of tiny/finetuning are not built",
        "eval      6 test tasks of miniweb-short 1.0.0, once the models are there",
    ):
        assert line in done.stdout
    assert not runs.exists()


def test_plan_loads_nothing_heavy_where_nothing_is_trained(tmp_path):
    done = call("plan.py", "--config", "recipes/tiny/base.yaml", "--runs", tmp_path / "runs", flags=["-X", "importtime"])
    assert done.returncode == 0 and not TORCH.search(done.stderr) and "training  not part of this recipe" in done.stdout


@pytest.mark.slow
def test_plan_says_loudly_that_a_training_does_not_fit_and_how_it_would(changes, tmp_path):
    more = ["base_model=meta-llama/Llama-3.1-8B-Instruct", "training.device=rtx-4090-24gb", "training.launch=ddp", "data.executor=[]"]
    done = call("plan.py", "--config", "recipes/tiny/finetuning.yaml", *settings(changes, *more), "--runs", tmp_path / "runs")
    assert done.returncode == 0, done.stderr  # a plan is no error
    assert re.search(r"^!!! +DOES NOT FIT: needs \d+\.\d of 24\.0 GiB of each rtx-4090-24gb; next move: --set ", done.stdout, re.M)


def test_plan_shows_what_is_done(changes, runs):
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*.*")}
    done = call("plan.py", "--config", "recipes/tiny/finetuning.yaml", *settings(changes), "--runs", runs)
    assert "12 rolled out" in done.stdout and "rows: plan (built), react (built)" in done.stdout
    assert "planner   to train: the planner of tiny/finetuning is not trained" in done.stdout
    assert re.search(r"rows +\d+ of \d+ tokens on average; tokens counted in \d+ of them", done.stdout)
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*.*") if path in before} == before


def make_it_with(done):
    """The command in an error message, to be run here."""
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    [command] = re.findall(r"^make it with: (.*)$", done.stderr, re.M)
    return command


def test_from_nothing_to_a_result_by_doing_what_the_messages_say(changes, tmp_path):
    runs = tmp_path / "my runs"
    arguments = ["--config", "recipes/tiny/react.yaml", *settings(changes, "sft.max_steps=2"), "--runs", str(runs)]
    same = f"--config recipes/tiny/react.yaml {' '.join('--set ' + shlex.quote(s) for s in (*changes, 'sft.max_steps=2'))} --runs '{runs}'"

    command = make_it_with(call("evaluate.py", *arguments))
    assert command == f"python scripts/build_data.py {same}"
    flags = ["--learning_rate", "1e-5", "--max_steps=2", "--bf16", "false"]  # TRL's own
    missing = call("sft.py", *arguments, "--role", "executor", *flags, flags=["-X", "importtime"])
    in_flags = make_it_with(missing)
    assert not TORCH.search(missing.stderr)  # said at once
    more = " --set sft.learning_rate=1e-5 --set sft.max_steps=2 --set sft.bf16=false --runs"
    assert in_flags == command.replace(" --runs", more)
    built = call("build_data.py", *shlex.split(command)[2:])
    line = r'^react: \d+ rows   load_dataset\(".*/my runs/data/\w+/\w+", "react"\)$'
    assert built.returncode == 0 and re.search(line, built.stdout, re.M)

    command = make_it_with(call("evaluate.py", *arguments))
    assert command == f"accelerate launch --config_file accelerate_configs/cpu.yaml scripts/sft.py {same} --role executor"
    accelerate = Path(sys.executable).with_name("accelerate")
    trained = run([accelerate, *shlex.split(command)[1:]])
    assert trained.returncode == 0, trained.stderr
    assert re.search(r"^executor of tiny/react: .*/my runs/models/executor-\w+$", trained.stdout, re.M)
    assert "train executor tiny/react: 2/2 steps" in trained.stderr

    done = call("evaluate.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert "miniweb-short 1.0.0 test (n=6, scorer miniweb)" in done.stdout and "evaluate tiny/react: 6/6 episodes" in done.stderr
    [report] = re.findall(r"^report  (.*)$", done.stdout, re.M)
    assert {path.name for path in Path(report).parent.iterdir()} >= {"results.json", "recipe.yaml", "run.sqlite", "table.md", "plots"}
    again = call("evaluate.py", *arguments, flags=["-X", "importtime"])
    assert again.stdout == done.stdout and not TORCH.search(again.stderr)
    read = call("report.py", Path(report).parent, "--out", tmp_path / "read", flags=["-X", "importtime"])
    assert read.stdout == done.stdout.replace(str(Path(report).parent), str(tmp_path / "read")) and not TORCH.search(read.stderr)
    again = call("sft.py", *arguments, "--role", "executor", flags=["-X", "importtime"])
    assert again.returncode == 0 and again.stdout in trained.stdout and not TORCH.search(again.stderr)


def test_a_base_that_is_not_there_says_what_makes_it(changes, runs):
    changes = [*changes, "base_model=models/none"]
    done = call("evaluate.py", "--config", "recipes/tiny/react.yaml", *settings(changes), "--runs", runs)
    assert make_it_with(done) == "python scripts/pretrain.py --config recipes/tiny/base.yaml --set base_model=models/none"
    assert "error: there is no model in models/none" in done.stderr


@pytest.mark.parametrize(
    "flags, changes",
    [
        ("--learning_rate 1e-5 --max_steps=2 --bf16 false", "sft.learning_rate=1e-5 sft.max_steps=2 sft.bf16=false"),
        ("--use_peft --lora_r 8", "sft.use_peft=true sft.lora_r=8"),
        ("--packing", "sft.packing=true"),
        ("--max_steps -1", "sft.max_steps=-1"),
        ("--optim=adamw --report_to none", "sft.optim=adamw sft.report_to=none"),
        ("--run_name a=b", "sft.run_name=a=b"),
        ("", ""),
    ],
)
def test_trl_flags_are_overrides_of_the_sft_section(flags, changes):
    trl_flags = runpy.run_path(str(REPO / "scripts/sft.py"))["trl_flags"]
    assert trl_flags(flags.split()) == changes.split()


@pytest.mark.parametrize("flags", ["2 --max_steps 2", "--bf16=true false", "--max_steps 2 3"])
def test_a_value_without_a_flag_is_refused(flags, capsys):
    trl_flags = runpy.run_path(str(REPO / "scripts/sft.py"))["trl_flags"]
    with pytest.raises(SystemExit) as caught:
        trl_flags(flags.split())
    assert caught.value.code == 2 and "TRL's settings are given as --name value" in capsys.readouterr().err


def test_a_wrong_trl_flag_is_refused_with_the_nearest_name():
    arguments = ["--config", "recipes/tiny/react.yaml", "--role", "executor", "--learning_rat", "1e-5"]
    done = call("sft.py", *arguments, flags=["-X", "importtime"])
    assert done.returncode == 2 and re.search(r"error: .*unknown key 'learning_rat' in section 'sft'.*'learning_rate'", done.stderr)
    assert "Traceback" not in done.stderr and not TORCH.search(done.stderr)


def interrupt(command, after):
    """Start `command`, press Ctrl-C when a line of its stderr contains `after`, and return (exit code, stderr)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored, which a process inherits
    process = subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if after in line:
            process.send_signal(signal.SIGINT)
            break
    lines += process.stderr.readlines()
    process.stderr.close()
    return process.wait(timeout=60), "".join(lines)


SAID = "interrupted; what is done is kept, and the same command goes on from here"


def test_ctrl_c_while_rows_are_built(small, changes, tmp_path):
    changes = [change for change in changes if not change.startswith("data.")] + ["data.tasks=120"]
    command = [sys.executable, "scripts/build_data.py", "--config", "recipes/tiny/react.yaml", *settings(changes), "--runs", str(tmp_path)]
    code, said = interrupt(command, "trajectories: 1/120")
    assert code == 130 and SAID in said and "Traceback" not in said

    recipe, version = small("react", "data.tasks=120"), load_suite("miniweb-short").version
    folder, path = data_folder(recipe, version, tmp_path), data_store(recipe, version, tmp_path)
    with read_run(path) as store:
        kept = dict(store.items("trajectory"))
    assert 1 <= len(kept) < 120 and not (folder / "manifest.json").exists()
    again = run(command)
    assert again.returncode == 0 and (folder / "react.parquet").exists()
    assert f"trajectories: {len(kept) + 1}/120" in again.stderr
    with read_run(path) as store:
        after = dict(store.items("trajectory"))
    assert len(after) == 120 and {key: after[key] for key in kept} == kept


@pytest.mark.slow
def test_ctrl_c_while_tasks_are_run(small, changes, tmp_path, capfd):
    more = ["agent.executor=base", "eval.limit=24", "eval.episodes_in_flight=2"]
    arguments = ["--config", "recipes/tiny/react.yaml", *settings(changes, *more), "--runs", str(tmp_path)]
    code, said = interrupt([sys.executable, "scripts/evaluate.py", *arguments], "evaluate tiny/react: 1/24")
    assert code == 130 and SAID in said and "Traceback" not in said
    kept = int(re.search(r": (\d+) of 24 test tasks", call("plan.py", *arguments).stdout)[1])
    assert 1 <= kept < 24
    _, summary, _ = evaluate(small("react", *more), tmp_path)  # as the script does, without loading torch once more
    assert f"evaluate tiny/react: {kept + 1}/24 episodes" in capfd.readouterr().err and summary.planned == 24


def test_a_torn_store_names_the_command_that_sets_it_aside(small, changes, runs):
    recipe, version = small("react"), load_suite("miniweb-short").version
    folder, store = data_folder(recipe, version, runs), data_store(recipe, version, runs)
    (folder / "manifest.json").unlink()
    store.write_bytes(store.read_bytes()[: store.stat().st_size // 3])
    for path in store.parent.glob("run.sqlite-*"):
        path.unlink()
    torn = store.read_bytes()
    arguments = ["--config", "recipes/tiny/react.yaml", *settings(changes), "--runs", runs]
    done = call("build_data.py", *arguments)
    assert done.returncode == 2 and str(store) in done.stderr and "Traceback" not in done.stderr
    assert store.read_bytes() == torn
    [command] = re.findall(r"type: (mv .*)$", done.stderr, re.M)
    subprocess.run(command, shell=True, check=True)
    assert call("build_data.py", *arguments).returncode == 0
    assert (folder / "manifest.json").exists() and torn in [path.read_bytes() for path in store.parent.glob("run.sqlite.damaged*")]


def test_a_whole_table_in_one_command_and_nothing_the_second_time(changes, runs, tmp_path):
    grid = tmp_path / "duel.yaml"
    rows = [
        f"  - {{label: {label}, recipe: {REPO}/recipes/tiny/{name}.yaml}}"
        for label, name in {"ReAct": "react", "Static": "finetuning"}.items()
    ]
    grid.write_text("\n".join(["name: duel", "title: Two rows", "rows:", *rows]))
    arguments = ["--config", grid, *settings(changes, "sft.max_steps=2"), "--runs", runs]
    done = call("ablate.py", *arguments)
    assert done.returncode == 0, done.stderr
    # Static's planner, and one executor for both rows, because `changes` trains it on the same rows in both.
    assert sorted(path.name.split("-")[0] for path in (runs / "models").iterdir() if path.is_dir()) == ["executor", "planner"]
    assert {path.name for path in (runs / "duel").iterdir()} == {"table.md", "table.csv", "table.tex", "plots", "report.html"}
    assert re.search(r"^ReAct +0\.0%", done.stdout, re.M) and re.search(r"^Static +0\.0%", done.stdout, re.M)
    again = call("ablate.py", *arguments)
    table = done.stdout[done.stdout.index("ReAct: ") :]  # after what the trainings say of themselves
    assert again.stdout == table and "train " not in again.stderr and "evaluate " not in again.stderr
