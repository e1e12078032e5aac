"""`slimnb import` and `slimnb export`: results from and to other tools."""

from pathlib import Path
from typing import Annotated

import typer

from slimnb.cli.options import RUNS, DataDir, Json, RunsDir
from slimnb.cli.output import print_json, print_table, run_summary, say

import_app = typer.Typer(help="Results of other tools as run folders.", no_args_is_help=True)
export_app = typer.Typer(help="Runs as files of other tools.", no_args_is_help=True)


@import_app.command("lm-eval")
def import_lm_eval(
    path: Annotated[Path, typer.Argument(help="A results_*.json of lm-eval's, or a directory of them.")],
    model: Annotated[
        str | None,
        typer.Option("--model", help="The model that was evaluated, for comparisons with slimnb's runs."),
    ] = None,
    runs: RunsDir = RUNS,
    name: Annotated[str, typer.Option("--name", help="The study that the runs belong to.")] = "lm-eval",
    no_originals: Annotated[
        bool, typer.Option("--no-originals", help="Keep no copy of lm-eval's files, which hold the benchmarks' texts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import what lm-evaluation-harness wrote with --log_samples, item by item."""
    from slimnb.analysis.tables import results_table
    from slimnb.interop.lm_eval import import_results

    folders = import_results(path, runs, name, model, originals=not no_originals)
    left_out = [folder.environment()["lm_eval"]["left_out"] for folder in folders]
    if as_json:
        print_json([run_summary(one) | {"left_out": out} for one, out in zip(folders, left_out, strict=True)])
        return
    for folder, out in zip(folders, left_out, strict=True):
        print_table(results_table(folder.record.scores))
        say(f"{folder.path}: imported")
        for task, why in out.items():
            say(f"  left out: {task}: {why}")
    if not no_originals:
        say(
            "lm-eval's own files are kept in each run's lm_eval/. Unlike a run's other files they hold the benchmarks' "
            "texts: mind that when you share one. --no-originals keeps none."
        )
    if model is None:
        say("Without --model the weights are known by lm-eval's name only: no comparison with runs of slimnb's.")


@export_app.command("lm-eval")
def export_lm_eval(
    run: Annotated[str, typer.Argument(help="A run's id or directory.")],
    out: Annotated[Path, typer.Argument(help="Directory for the results_*.json and samples_*.jsonl.")],
    runs: RunsDir = RUNS,
    data: DataDir = None,
) -> None:
    """Write a run in lm-evaluation-harness's layout; with the benchmarks' texts where --data has them."""
    from slimnb.data.load import data_directory
    from slimnb.interop.lm_eval_export import export_run
    from slimnb.store.runs import find

    print(export_run(find(runs, run), out, data_directory(data)))
