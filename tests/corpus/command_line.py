"""The command line: options that contradict each other, numbers beyond all use, names that are paths, and paths."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus import Row, slimnb

ROWS: list[Row] = []
LONG = "n" * 1000
DIGITS = "9" * 5000
RUN = ("run", "--model", "tiny", "--benchmarks", "workshop_cs")
LORA = (*RUN, "--method", "lora", "--train-on", "workshop_math")
PLAN = ("plan", "--model", "tiny", "--memory", "8GB")
OURS = Path(__file__).resolve().parents[2] / "data" / "runs"


def line(error: str | None, *words: str, right: Any = None, make: Callable[[Path], Any] | None = None) -> None:
    """`slimnb WORDS` in an empty directory. In a word {place} is that directory."""

    def act(place: Path) -> str:
        if make:
            make(place)
        here = Path.cwd()
        os.chdir(place)
        try:
            return slimnb(*(word.replace("{place}", str(place)) for word in words))
        finally:
            os.chdir(here)

    ROWS.append(Row("command line", " ".join(f"{word:.40}" for word in words), act, error, right))


# Words that are none

line("No such command", "trian")
line("No such option", *RUN, "--mehtod", "lora")
line("requires an argument", "run", "--method")
line("is not one of", *RUN, "--method", "dora")
line("is not one of", *RUN, "--dtype", "int8")
line("unexpected extra argument", *RUN, "more")
line("Missing", "compare")
line("Missing", "merge", "x", "y")
line("valid integer", *LORA, "--rank", "many")
line("valid number", *LORA, "--epochs", "many")
line("No such command", "study", "ran")
line("No such command", "../../bin/sh")
line("No such option", "--version=1")

# Options that contradict each other

line("method lora needs a training set", *RUN, "--method", "lora")
line("method base trains nothing", *RUN, "--epochs", "3")
line("method full trains all weights", *RUN, "--method", "full", "--train-on", "workshop_math", "--rank", "4")
line("does not quantize", *LORA, "--four-bit-kind", "nf4")
line("exactly one of epochs, steps", *LORA, "--epochs", "1", "--steps", "1")
line("init loftq", *LORA, "--init", "loftq")
line("init pissa", *LORA, "--init", "pissa", "--dora")
line("float16 is for scoring", *LORA, "--dtype", "float16")
line("need a validation share", *LORA, "--patience", "2")
line("name at least one benchmark", "run", "--model", "tiny", "--benchmarks", ",")
line("named twice", "run", "--model", "tiny", "--benchmarks", "workshop_cs,workshop_cs")
line("named twice", *LORA, "--targets", "q_proj,q_proj")
line("limits names gsm8k", *RUN, "--limits", "gsm8k=3")
line("write --limits", *RUN, "--limits", "workshop_cs")
line("write --limits", *RUN, "--limits", "workshop_cs=-3")
line("write --columns", *LORA, "--columns", "prompt")
line("--rows and --tokens-per-row together", *PLAN, "--rows", "3")
line("not both", *PLAN, "--rows", "3", "--tokens-per-row", "9", "--train-on", "workshop_math")
line("--jobs is for this machine", "study", "run", "x.yaml", "--executor", "ray", "--jobs", "2")
line("are for --executor ray", "study", "run", "x.yaml", "--cpus", "2")
line("name at least two runs", "compare", "x")

# Numbers

for option, value, said in (
    ("--rank", "0", "rank"), ("--rank", "-4", "rank"), ("--rank", DIGITS, "rank"),
    ("--rank", "9" * 30, "larger than any"),
    ("--alpha", "nan", "alpha"), ("--alpha", "-1", "alpha"), ("--epochs", "nan", "epochs"),
    ("--epochs", "inf", "epochs"), ("--epochs", "0", "epochs"), ("--epochs", "1e99", "larger than any"),
    ("--steps", "0", "--steps"),
    ("--steps", "-1", "--steps"), ("--label-tokens", "0", "--label-tokens"), ("--learning-rate", "0", "learning_rate"),
    ("--learning-rate", "nan", "learning_rate"), ("--learning-rate", "-1e-3", "learning_rate"),
    ("--batch-size", "0", "batch_size"), ("--max-length", "-1", "max_length"), ("--warmup", "2", "warmup"),
    ("--dropout", "1", "dropout"), ("--validation", "0.9", "validation"), ("--train-limit", "0", "--train-limit"),
    ("--limit", "0", "--limit"), ("--limit", "-3", "--limit"), ("--shots", "-1", "--shots"),
    ("--seed", "9" * 30, "64 bits"), ("--seed", "1.5", "--seed"),
    ("--checkpoint-minutes", "-1", "--checkpoint-minutes"), ("--limits", f"workshop_cs={DIGITS}", "limits"),
):  # fmt: skip
    line(said, *LORA, option, value)
for option, value, said in (
    ("--memory", "8", "write a size with its unit"), ("--memory", "-8GB", "write a size"),
    ("--memory", "0GB", "write a size"),
    ("--memory", "nanGB", "write a size"), ("--memory", "8 furlongs", "write a size"),
    ("--memory", f"{DIGITS}GB", "memory"),
    ("--rank", "0", "--rank"), ("--rank", "9" * 400, "rank"), ("--batch-size", "9" * 400, "batch"),
    ("--length", "9" * 400, "length"), ("--length", "1", "--length"), ("--rows", "9" * 400, "--rows"),
):  # fmt: skip
    more = ("--tokens-per-row", "9") if option == "--rows" else ()
    line(said, *PLAN, option, value, *more)
for epochs in ("-3", "nan", "inf", "0"):
    line("epochs", *PLAN, "--rows", "100", "--tokens-per-row", "50", "--epochs", epochs)
line("tokens-per-row", *PLAN, "--rows", "100", "--tokens-per-row", "nan")
for margin in ("nan", "inf", "-1"):
    line("margin", "compare", str(OURS / "reference"), str(OURS / "reference"), "--margin", margin)

# Names and places

line("no benchmark is called", *RUN[:3], "--benchmarks", "../../etc/passwd")
line("no benchmark is called", "eval", "--model", "tiny", "--benchmarks", LONG)
line("neither a training set nor a file", *RUN, "--method", "lora", "--train-on", "../../etc/passwd-not")
line("too long", *RUN, "--method", "lora", "--train-on", LONG)
line("a file that ends in", *RUN, "--method", "lora", "--train-on", "/etc/passwd")
line("does not exist", *RUN, "--data", "{place}/none")
line("does not exist", "data", "--data", LONG)
line("No such file", *RUN, "--config", "{place}/none.json")
line("Is a directory", "run", "--config", "{place}")
line("not valid JSON", "run", "--config", "{place}/c", make=lambda place: (place / "c").write_bytes(b"\xff\xfe"))
line("not a file", "run", "--config", "{place}/p", make=lambda place: os.mkfifo(place / "p"))
line("study's name", *RUN, "--name", "../out")
line("study's name", *RUN, "--name", "..")
line("study's name", *RUN, "--name", "")
line("too long", *RUN, "--name", LONG)
line("no run", "compare", "a", "b")
line("too long", "compare", LONG, "b")
line("no run", "items", "../../no-such-place", "b")
line("no run", "export", "lm-eval", "x", "{place}/out")
line("no run", "merge", "x", "{place}/out", "--to", "16bit")
line("No such file", "compare", "{place}", "{place}")
line("holds no complete run", "study", "show", "{place}")
line("holds no complete run", "study", "show", "/etc")
line("too long", "study", "show", LONG)
line("No such file", "study", "status", "{place}/none.yaml")
line("No such file", "study", "run", "{place}/none.yaml")
line("not a file", "study", "run", "{place}/p.yaml", make=lambda place: os.mkfifo(place / "p.yaml"))
line("no results_", "import", "lm-eval", "{place}")
line("not there", "import", "lm-eval", "{place}/none.json")
line("not a file", "data", "check", "{place}/p.jsonl", make=lambda place: os.mkfifo(place / "p.jsonl"))
line("too long", "data", "check", f"{LONG}.jsonl")
line("no completed run", "report", "{place}")
line(None, "runs", "--runs", "{place}/none", right=lambda said: said == "")
line(None, "runs", "--runs", "{place}", "--json", right=lambda said: json.loads(said) == [])
line("too long", "runs", "--runs", LONG)
line("64 bits", *LORA, "--seed", "1" + "0" * 4000)
line("half a character", "run", "--model", os.fsdecode(b"\xff"), "--benchmarks", "workshop_cs")
line("half a character", *RUN, "--method", "lora", "--train-on", os.fsdecode(b"\xff"))


def shows_no_commands_to_the_terminal(place: Path) -> Any:
    """A file's name and a column's that would clear a screen and set its title."""
    evil = "\x1b[2J\x1b]0;owned\x07"
    path = place / f"{evil}.csv"
    path.write_text(f"{evil},b\n1,2\n", encoding="utf-8")
    try:
        return slimnb("data", "check", str(path))
    except Exception as error:
        return str(error)


ROWS.append(Row("command line", "colours and commands of a terminal", shows_no_commands_to_the_terminal,
                right=lambda said: "\x1b" not in said and "owned" in said))  # fmt: skip
