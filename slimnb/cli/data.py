"""`slimnb data`: what data sets there are, and a look at own data as training will read it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slimnb.cli.options import ChatTemplate, DataDir, Json, column_names
from slimnb.cli.output import print_json, print_rows, print_table

if TYPE_CHECKING:
    from slimnb.training.data_check import DataCheck, Token

data_app = typer.Typer(help="Data sets that are available; `check` looks at one of your own.",
                       invoke_without_command=True)  # fmt: skip

BAD_SHOWN, PLACES_SHOWN = 50, 10
TOKENS_SHOWN = 400
"""Of the prompt, and of the completion."""
SPACE, BREAK, PART = "·", "⏎", "…"


@data_app.callback()
def list_data(context: typer.Context, data: DataDir = None, as_json: Json = False) -> None:
    """List data sets: where rows come from, how many, and under which licence."""
    if context.invoked_subcommand is not None:
        return
    from slimnb.benchmarks import BENCHMARKS
    from slimnb.data.load import DATA_SETS, availability, data_directory
    from slimnb.training.training_sets import TRAINING_SETS

    directory = data_directory(data)
    rows = []
    for name, one in DATA_SETS.items():
        origin, count = availability(one, directory)
        rows.append({
            "data set": name, "from": origin, "rows": count, "licence": one.licence, "hub": one.hub,
            "benchmarks": [b.name for b in BENCHMARKS.values() if name in b.data],
            "training sets": [t.name for t in TRAINING_SETS.values() if t.data == name],
        })  # fmt: skip
    print_rows(rows, as_json)


@data_app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="JSON Lines, CSV or Parquet.")],
    model: Annotated[str, typer.Option("--model", help="Whose tokenizer reads it.")] = "smollm2-135m",
    columns: Annotated[
        str, typer.Option("--columns", help="slimnb's names of its columns, as prompt=question,completion=answer.")
    ] = "",
    max_length: Annotated[int, typer.Option("--max-length", min=1, help="Longest example in tokens.")] = 1024,
    chat_template: ChatTemplate = False,
    as_json: Json = False,
) -> None:
    """Show a file of own data as training will read it, and every bad row; exit status 1 where there is one."""
    from slimnb.data.own_data import read_own_data

    data = read_own_data(file, column_names(columns))  # what is wrong with the file is told before torch is loaded
    from slimnb.machine.progress import progress_bar
    from slimnb.models.load import load_tokenizer
    from slimnb.training.data_check import check_data

    tokenizer = load_tokenizer(model)
    with progress_bar(f"{file.name}: reading", len(data.rows)) as advance:
        found = check_data(data, tokenizer, max_length, chat_template, advance)
    if as_json:
        print_json({"model": model, **asdict(found)})
    else:
        _print(found, model)
    if found.bad:
        raise typer.Exit(1)


def _print(found: "DataCheck", model: str) -> None:
    from slimnb.data.own_data import told

    line = "row" if found.path.lower().endswith(".parquet") else "line"
    lengths = found.lengths
    repeats = sum(len(group) - 1 for group in found.repeated)
    facts = {
        "rows": f"{found.rows:,} good of the form {found.form}, {len(found.bad):,} bad",
        "tokens in a row": lengths
        and f"{lengths.min:,} to {lengths.max:,}, median {lengths.median:,}, 95% at most {lengths.p95:,} ({model})",
        f"over {found.max_length:,} tokens": _counted(len(found.too_long), [[one] for one in found.too_long], line)
        + (", which training leaves out" if found.too_long else ""),
        "blank completions": _counted(len(found.blank), [[one] for one in found.blank], line),
        "repeated rows": _counted(repeats, found.repeated, line),
        "ambiguous prompts": _counted(len(found.ambiguous), found.ambiguous, line),
    }
    print(found.path)
    for what, fact in facts.items():
        print(f"  {what:<20} {fact or 'none to count'}")
    if found.example:
        _print_tokens(found.example, f"{line} {found.example_line}")
    if found.bad:
        print("\nBad rows")
        print("\n".join(told(found.path, found.bad, BAD_SHOWN)))


def _counted(count: int, groups: list[list[int]], line: str) -> str:
    """How many, and the lines of the first, those of a group joined by a plus."""
    first = ["+".join(map(str, group[:PLACES_SHOWN])) for group in groups[:PLACES_SHOWN]]
    more = [] if len(groups) == len(first) else ["..."]
    return f"{count:,}" + (f" ({line} {', '.join(first + more)})" if groups else "")


def _print_tokens(tokens: "list[Token]", where: str) -> None:
    """Labels are told by a heading and by brackets, not by colour alone."""
    from rich.text import Text

    print(f"\nFirst example ({where}), token by token: {SPACE} space, {BREAK} line break, {PART} part of a character")
    for label, heading, form, style in (
        (False, "tokens are given:", "{}", "dim"),
        (True, "tokens are labels, which the loss is on, to the end of the sequence:", "[{}]", "bold green"),
    ):
        shown = [form.format(visible(token.text) or PART) for token in tokens if token.label == label]
        print(f"{len(shown):,} {heading}")
        if (left := len(shown) - TOKENS_SHOWN) > 0:
            shown[TOKENS_SHOWN // 2 : -TOKENS_SHOWN // 2] = [f"({left:,} more)"]
        print_table(Text(" ".join(shown), style))


def visible(text: str) -> str:
    """Text in which every character is seen, and none moves the cursor or colours the terminal."""
    signs = {" ": SPACE, "\n": BREAK}
    return "".join(
        signs.get(one) or (one if one.isprintable() else one.encode("unicode_escape").decode("ascii")) for one in text
    )
