"""`slimnb study` and `slimnb runs`."""

import signal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from slimnb.cli.options import RUNS, DataDir, Json, RunsDir
from slimnb.cli.output import print_json, print_table, run_summary, say
from slimnb.errors import SlimnbError

if TYPE_CHECKING:
    from slimnb.config import RunConfig
    from slimnb.store.runs import RunFolder
    from slimnb.study.engine import Executor

ExecutorName = Literal["local", "ray"]


def Cluster(name: str, text: str, **more: Any) -> Any:  # noqa: N802  it stands where typer.Option would
    return typer.Option(name, help=text, rich_help_panel="With --executor ray", **more)


study_app = typer.Typer(help="A grid of runs from a YAML file.", no_args_is_help=True)


@study_app.command("run")
def study_run(
    file: Path,
    runs: RunsDir = RUNS,
    data: DataDir = None,
    name: Annotated[str | None, typer.Option("--name", help="Another name for the study.")] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", min=1, help="So many runs at once; their seconds are not those of a run alone."),
    ] = 1,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also what failed, ran out of memory, or left a broken folder.")
    ] = False,
    executor: Annotated[ExecutorName, typer.Option("--executor", help="ray: a cluster (RAY_ADDRESS).")] = "local",
    cpus: Annotated[float | None, Cluster("--cpus", "CPUs of a run (default 1).", min=0.1)] = None,
    gpus: Annotated[float | None, Cluster("--gpus", "GPUs of a run (default 1 where there are any).", min=0)] = None,
    memory: Annotated[str | None, Cluster("--memory", "Of a run, as 8GB (default: what `slimnb plan` says).")] = None,
) -> None:
    """Carry out what a study has not completed, then print its table.

    Ctrl-C stops it; the same command goes on.
    """
    if executor == "ray" and jobs != 1:
        raise typer.BadParameter("--jobs is for this machine; Ray runs as many as --cpus, --gpus and --memory allow")
    if executor == "local" and (cpus, gpus, memory) != (None, None, None):
        raise typer.BadParameter("--cpus, --gpus and --memory are for --executor ray; here --jobs shares the cores out")
    from slimnb.data.load import data_directory
    from slimnb.store.runs import RunFolder
    from slimnb.study import cells, run_study
    from slimnb.study.grid import load_study

    study = load_study(file)
    if name:
        study = study.model_copy(update={"name": name})
    directory = data_directory(data)
    grid = cells(study, runs)
    order = [cell.config.run_id for cell in grid]
    if executor == "local":
        if study.needs_gpu:
            _ask_for_gpu(file)
        _ask_for_models([cell.config.model for cell in grid if cell.status != "completed"])
    place = _executor(executor, jobs, cpus, gpus, memory)
    try:
        done = list(run_study(study, runs, directory, executor=place, retry=retry))
    except KeyboardInterrupt as stop:
        count = sum(cell.status == "completed" for cell in cells(study, runs))
        say(f"stopped: {count} of {len(order)} complete; the same command goes on")
        raise typer.Exit(128 + getattr(stop, "number", signal.SIGINT)) from None
    done.sort(key=lambda cell: order.index(cell.config.run_id))
    complete = [RunFolder.read(cell.path) for cell in done if cell.status == "completed"]
    if complete:
        _print_study(complete, study.name)
    failed = [f"{cell.config.run_id}: {cell.status}" + (f", {cell.error}" if cell.error else "") for cell in done
              if cell.status != "completed"]  # fmt: skip
    if failed:
        raise SlimnbError("not complete (--retry tries again what failed):\n  " + "\n  ".join(failed))


@study_app.command("work", hidden=True)
def study_work(runs: RunsDir, name: Annotated[str, typer.Option("--name")], data: DataDir = None) -> None:
    """One run of a study, started by `slimnb study run`; see slimnb.study.work."""
    from slimnb.study.work import start_of_work

    text = start_of_work()
    from slimnb.config import RunConfig
    from slimnb.study.board import PROGRESS_FILE

    config = RunConfig.model_validate_json(text)
    from slimnb.experiment import run as carry_out
    from slimnb.machine.progress import reported_to

    with reported_to(runs / name / config.run_id / PROGRESS_FILE):
        carry_out(config, runs, name, data)


def _ask_for_gpu(file: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        raise SlimnbError(f"{file} is made for a CUDA GPU, and there is none here; --executor ray takes a cluster's")


def _ask_for_models(models: list[str]) -> None:
    """A model that is to come from the Hub is looked for once, before a process for each run finds out the same."""
    for model in dict.fromkeys(models):
        if "/" in model and not Path(model).exists():
            from slimnb.planning.architecture import read_architecture

            read_architecture(model)


def _executor(name: ExecutorName, jobs: int, cpus: float | None, gpus: float | None, memory: str | None) -> "Executor":
    if name == "local":
        from slimnb.study.local import Local

        return Local(jobs)
    from slimnb.study.on_ray import Ray

    if memory is None:
        return Ray(cpus or 1, gpus, _predicted_memory)
    from slimnb.planning.memory import parse_memory

    declared = parse_memory(memory)
    return Ray(cpus or 1, gpus, lambda config: declared)


def _predicted_memory(config: "RunConfig") -> int | None:
    """What `slimnb plan` says that a run needs; None where it cannot say."""
    from slimnb.planning.memory import Setup

    shape: dict[str, Any] = {"rank": config.lora.rank} if config.lora else {}
    if training := config.training:
        shape |= {"batch_size": training.batch_size, "length": training.max_length, "optimizer": training.optimizer,
                  "checkpointing": training.gradient_checkpointing}  # fmt: skip
    return _predicted_peak(config.model, Setup(config.method, **shape))


@cache
def _predicted_peak(model: str, setup: Any) -> int | None:
    from slimnb.planning.architecture import read_architecture
    from slimnb.planning.memory import predict

    try:
        return predict(read_architecture(model), setup).peak
    except SlimnbError:
        return None


@study_app.command("show")
def study_show(directory: Path) -> None:
    """Print the table of a directory of runs, RUNS/STUDY, without running anything."""
    from slimnb.store.planned import how_complete, read_planned
    from slimnb.store.runs import scan_study

    found, broken = scan_study(directory)
    complete = [run for run in found if run.record.status == "completed"]
    for one in broken:
        say(f"left out: {one.reason}")
    if not complete:
        raise SlimnbError(f"{directory}: holds no complete run")
    _print_study(complete, directory.name)
    if said := how_complete(read_planned(directory), {run.path.name for run in complete}):
        print(said)


@study_app.command("status")
def study_status(file: Path, runs: RunsDir = RUNS) -> None:
    """List a study's runs and how far each is."""
    from slimnb.machine.progress import read_standing
    from slimnb.study import cells
    from slimnb.study.board import PROGRESS_FILE
    from slimnb.study.grid import load_study

    for cell in cells(load_study(file), runs):
        told = read_standing(cell.path / PROGRESS_FILE) if cell.status == "running" else cell.error
        print(f"{cell.status:14} {cell.config.run_id}" + (f"  {told}" if told else ""))


def _print_study(runs: "list[RunFolder]", name: str) -> None:
    """The table, and below it what the training sets have in common with the benchmarks."""
    from slimnb.analysis.comparison import overlap_notes
    from slimnb.analysis.guard import contention
    from slimnb.analysis.tables import study_table
    from slimnb.machine.contention import NOTICED
    from slimnb.machine.environment import runs_at_once

    for model in dict.fromkeys(run.config.model for run in runs):  # a base model each
        print_table(study_table([run for run in runs if run.config.model == model], f"Study {name}: {model}"))
    if (jobs := max(runs_at_once(run.environment()) for run in runs)) > 1:
        print(f"Up to {jobs} runs shared the machine: seconds are not those of a run alone.")
    if (share := max(map(contention, runs))) >= NOTICED:
        print(f"Other programs took up to {share:.0%} of the machine: seconds are not those of a quiet one.")
    for note in dict.fromkeys(note for run in runs for note in overlap_notes(run, list(run.record.scores))):
        print(f"Overlap: {note}")


def list_runs(runs: RunsDir = RUNS, as_json: Json = False) -> None:
    """List the runs of a directory."""
    from slimnb.analysis.tables import runs_table
    from slimnb.store.runs import scan

    found, broken = scan(runs)
    if as_json:
        print_json([*map(run_summary, found), *({"id": b.path.name, "path": str(b.path), "study": b.path.parent.name,
                     "status": "broken", "method": None, "scores": {}, "costs": {}, "error": b.reason}
                     for b in broken)])  # fmt: skip
    elif found or broken:
        print_table(runs_table(found, broken))
    else:
        say(f"no runs under {runs}: `slimnb run` makes one, `make demo` makes four")
