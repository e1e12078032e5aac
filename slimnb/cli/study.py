"""`slimnb study` and `slimnb runs`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimnb.cli.options import RUNS, DataDir, Json, RunsDir
from slimnb.cli.output import print_json, print_table, run_summary, say
from slimnb.errors import SlimnbError

if TYPE_CHECKING:
    from slimnb.runs import RunFolder

study_app = typer.Typer(help="A grid of runs from a YAML file.", no_args_is_help=True)


@study_app.command("run")
def study_run(
    file: Path,
    runs: RunsDir = RUNS,
    data: DataDir = None,
    name: Annotated[str | None, typer.Option("--name", help="Another name for the study.")] = None,
) -> None:
    """Carry out what a study has not completed, then print its table."""
    from slimnb.data import data_directory
    from slimnb.grid import load_study
    from slimnb.runs import RunFolder
    from slimnb.study import run_study

    study = load_study(file)
    if name:
        study = study.model_copy(update={"name": name})
    done = list(run_study(study, runs, data_directory(data)))
    complete = [RunFolder.read(cell.path) for cell in done if cell.status == "completed"]
    if complete:
        _print_study(complete, study.name)
    failed = [f"{cell.config.run_id}: {cell.status}" + (f", {cell.error}" if cell.error else "") for cell in done
              if cell.status != "completed"]  # fmt: skip
    if failed:
        raise SlimnbError("not complete:\n  " + "\n  ".join(failed))


@study_app.command("show")
def study_show(directory: Path) -> None:
    """Print the table of a directory of runs, RUNS/STUDY, without running anything."""
    from slimnb.runs import scan

    found, broken = scan(directory.parent)
    complete = [run for run in found if run.path.parent == directory and run.record.status == "completed"]
    for one in broken:
        if one.path.parent == directory:
            say(f"left out: {one.reason}")
    if not complete:
        raise SlimnbError(f"{directory}: holds no complete run")
    _print_study(complete, directory.name)


@study_app.command("status")
def study_status(file: Path, runs: RunsDir = RUNS) -> None:
    """List a study's runs and how far each is."""
    from slimnb.grid import load_study
    from slimnb.study import cells

    for cell in cells(load_study(file), runs):
        print(f"{cell.status:14} {cell.config.run_id}" + (f"  {cell.error}" if cell.error else ""))


def _print_study(runs: "list[RunFolder]", name: str) -> None:
    """The table, and below it what the training sets have in common with the benchmarks."""
    from slimnb.comparison import overlap_notes
    from slimnb.tables import study_table

    print_table(study_table(runs, f"Study {name}: {runs[0].config.model}"))
    for note in dict.fromkeys(note for run in runs for note in overlap_notes(run, list(run.record.scores))):
        print(f"Overlap: {note}")


def list_runs(runs: RunsDir = RUNS, as_json: Json = False) -> None:
    """List the runs of a directory."""
    from slimnb.runs import scan
    from slimnb.tables import runs_table

    found, broken = scan(runs)
    if as_json:
        print_json([*map(run_summary, found), *({"id": b.path.name, "path": str(b.path), "study": b.path.parent.name,
                     "status": "broken", "method": None, "scores": {}, "costs": {}, "error": b.reason}
                     for b in broken)])  # fmt: skip
    elif found or broken:
        print_table(runs_table(found, broken))
    else:
        say(f"no runs under {runs}: `slimnb run` makes one, `make demo` makes four")
