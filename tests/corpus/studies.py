"""Study files: YAML that is damaged, hostile, or asks for what no study can hold."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slimnb.config import RunConfig, load_run_config
from slimnb.study.grid import load_study
from tests.corpus import Row

PLAIN = "name: x\nmodel: tiny\ntrain_on: [workshop_math]\nbenchmarks: [workshop_math]\n"
LORA = PLAIN + "methods: [lora]\n"
HEX = "0x" + "f" * 5000
"""More digits than Python prints."""

ROWS: list[Row] = []


def study(name: str, text: str | bytes, error: str | None = None, right: Any = None) -> None:
    """`right` sees the study's runs."""

    def act(place: Path) -> list[RunConfig]:
        path = place / "study.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return load_study(path).runs()

    ROWS.append(Row("studies", name, act, error, right))


def one(test: Callable[[RunConfig], bool]) -> Callable[[list[RunConfig]], bool]:
    """A study of one run."""
    return lambda runs: len(runs) == 1 and test(runs[0])


def trained(**fields: Any) -> Callable[[list[RunConfig]], bool]:
    return one(lambda run: all(getattr(run.training, name) == value for name, value in fields.items()))


# What is no YAML, or no study

study("empty", "", "dictionary")
study("a comment", "# nothing\n", "dictionary")
study("a text", "hello", "dictionary")
study("a list", "- 1", "dictionary")
study("a number", "3", "dictionary")
study("not closed", "name: [", "not valid YAML")
study("a tab", "name:\n\t- x", "not valid YAML")
study("two documents", PLAIN + "---\n" + PLAIN, "not valid YAML")
study("not UTF-8", PLAIN.encode() + b"# \xff", "not valid YAML")
study("UTF-16", PLAIN.encode("utf-16"), "not valid YAML")
study("a byte order mark", codecs.BOM_UTF8 + LORA.encode(), right=lambda runs: len(runs) == 1)
study("NUL", PLAIN + "\0", "not valid YAML")
study("a control character", PLAIN + "# \x1b[31m", "not valid YAML")
study("half a surrogate pair", PLAIN + "# \ud800", "not valid YAML")
study("half a pair, escaped", PLAIN.replace("tiny", '"\\ud800"'), "half a character")
study("Windows' line ends", LORA.replace("\n", "\r\n"), right=lambda runs: len(runs) == 1)
study("JSON", '{"name": "x", "benchmarks": ["workshop_cs"], "methods": ["base"]}', right=lambda runs: len(runs) == 1)
study("nested too deep", "name: " + "[" * 50_000, "not valid YAML")
study("nested deep in blocks", "- " * 2000 + "a", "not valid YAML")
study("300 kB", LORA + "#" * 300_000, "more than the 0.2 MB")
study("150 kB of a comment", LORA + "#" * 150_000, right=lambda runs: len(runs) == 1)
study("60 kB of one number", LORA + "seeds: [" + "1," * 30_000 + "1]", "30,001 runs")

# Tags and anchors

for tag in (
    "object:os.system",
    "object/apply:os.system",
    "object/new:os.system",
    "name:os.system",
    "module:os",
    "tuple",
):
    study(f"the tag {tag}", f"{LORA}options: !!python/{tag} ['touch owned']", "could not determine a constructor")
study("a tag of its own", LORA + "seeds: !mine [0]", "could not determine a constructor")
study("a tag of 100 kB", LORA + f"seeds: !{'a' * 100_000} [0]", "not valid YAML")
for tag, text in (("int", '""'), ("int", "x"), ("float", '""'), ("bool", "x"), ("timestamp", "x"), ("binary", "é"),
                  ("set", "[1]"), ("omap", "1"), ("null", "[]"), ("map", "[]"), ("seq", "{}")):  # fmt: skip
    study(f"the tag {tag} on {text}", f"{LORA}seeds: !!{tag} {text}", "study.yaml: ")
LAUGHS = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9))
study("a billion laughs", f"a: &a [x, x]\n{LAUGHS}{LORA}", "anchors unfolded")
study("a billion laughs in options", LORA + "options:\n  rank: &a [x, x]\n" + "".join(
      f"  {line}\n" for line in LAUGHS.splitlines()), "anchors unfolded")  # fmt: skip
MERGED = "".join(f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{', '.join([f'*{chr(97 + i)}'] * 10)}]}}\n" for i in range(9))
study("a billion merges", f"a: &a {{k: 1, l: 2}}\n{MERGED}{LORA}", "anchors unfolded")
study("an anchor within itself", f"{LORA}options: &a {{rank: *a}}", "an anchor that holds itself")
study("a list within itself", f"{LORA}seeds: &a [*a]", "an anchor that holds itself")
study("an anchor that is not there", LORA + "seeds: *none", "undefined alias")
study("an anchor used twice", LORA + "options: {targets: &t [q_proj], rank: 4}\ngrids: [{}, {vary: {targets: [*t]}}]",
      "vary holds targets")  # fmt: skip
study("a merge", LORA + "grids:\n- &g {options: {rank: 4}}\n- {<<: *g, seeds: [1]}",
      right=lambda runs: [(run.lora.rank, run.seed) for run in runs] == [(4, 0), (4, 1)])  # fmt: skip
study("a name given twice", LORA + "seeds: [0]\nseeds: [1]", "'seeds' is given twice")
study("an option given twice", LORA + "options:\n  rank: 4\n  rank: 8\n", "line 8: 'rank' is given twice")
study("a list as a name", LORA + "? [a, b]\n: 1", "not valid YAML")
study("a number as a name", LORA + "1: 2", "study.yaml: ")
study("null as a name", LORA + "~: 2", "study.yaml: ")

# Fields

study("an unknown field", LORA + "modle: tiny", "modle")
study("no benchmarks", "name: x\nmethods: [base]", "benchmarks")
study("a benchmark that is a text", LORA.replace("[workshop_math]\nmethods", "workshop_math\nmethods"), "benchmarks")
study("a benchmark that is no word", LORA.replace("benchmarks: [workshop_math]", "benchmarks: [no]"), "benchmarks.0")
study("a benchmark twice", LORA.replace("benchmarks: [workshop_math]", "benchmarks: [a, a]"), "named twice")
study("no methods", PLAIN + "methods: []", "methods")
study("a method that is none", PLAIN + "methods: [lora, ../x]", "methods.1")
study("a name that is a path", PLAIN.replace("name: x", "name: ../x"), "name")
study("a name of two lines", PLAIN.replace("name: x", 'name: "x\\n"'), "name")
study("a name that is a number", PLAIN.replace("name: x", "name: 1_0"), "name")
study("a name that is empty", PLAIN.replace("name: x", 'name: ""'), "name")
study("a training set that is a number", LORA.replace("train_on: [workshop_math]", "train_on: [1]"), "train_on.0")
study("grids that are none", LORA + "grids: 3", "grids")
study("grids that are numbers", LORA + "grids: [3]", "grids.0")
study("grids, none in the list", LORA + "grids: []", right=lambda runs: len(runs) == 1)
study("options that are a list", LORA + "options: [rank]", "options")
study("options by a number", LORA + "options: {1: 2}", "options")
study("an option that is none", LORA + "options: {epoch: 2}", "epoch")
study("an option that takes the place of the training set", LORA + "options: {data: other.jsonl}", "data")
study("an option that takes the place of LoRA", LORA + "options: {lora: {rank: 1}}", "lora")
study("a scoring that is none", LORA + "scoring: {batch: 2}", "batch")
study("a limit of a benchmark that is not asked", LORA + "scoring: {limits: {hellaswag: 2}}", "hellaswag")
study("vary over nothing", LORA + "vary: {rank: []}", "vary.rank")
study("vary over a number", LORA + "vary: {rank: 4}", "vary.rank")
study("vary over lists", LORA + "vary: {rank: [[1], [2]]}", "rank")
study("vary over the same", LORA + "vary: {rank: [4, 4, 4]}", right=one(lambda run: run.lora.rank == 4))
study("two of epochs and steps", LORA + "options: {epochs: 1, steps: 1}", "exactly one of")

# Numbers

for option, value, said in (
    ("rank", "0", "rank"), ("rank", "-1", "rank"), ("rank", "1.5", "rank"), ("rank", "yes", "true or false"),
    ("rank", "[1]", "rank"), ("rank", "{}", "rank"), ("rank", "1e3", "rank"), ("rank", HEX, "rank"),
    ("rank", "9" * 30, "larger than any"), ("rank", "9" * 5000, "not valid YAML"), ("rank", ".inf", "rank"),
    ("rank", "2020-01-01", "rank"), ("alpha", ".nan", "alpha"), ("alpha", HEX, "alpha"), ("alpha", "yes", "true or"),
    ("epochs", "0", "epochs"), ("epochs", "-1", "epochs"), ("epochs", ".inf", "epochs"), ("epochs", "1.0e+99", "large"),
    ("epochs", "many", "epochs"), ("epochs", "true", "true or false"), ("steps", "10000000000", "larger than any"),
    ("learning_rate", "0", "learning_rate"), ("learning_rate", ".nan", "learning_rate"),
    ("warmup", "1", "warmup"), ("dropout", "1.0", "dropout"), ("validation", "0.9", "validation"),
    ("batch_size", "0", "batch_size"), ("max_length", "-5", "max_length"), ("weight_decay", "-1", "weight_decay"),
    ("patience", "3", "validation share"), ("keep", "best", "validation share"), ("schedule", "linear", "schedule"),
    ("four_bit_kind", "int4", "no option of lora"), ("targets", "3", "targets"), ("train_limit", "0", "limit"),
    ("columns", "{prompt: 1}", "columns"), ("gradient_checkpointing", "3", "gradient_checkpointing"),
):  # fmt: skip
    said = said if option != "four_bit_kind" else None
    study(f"{option}: {value:.20}", f"{LORA}options: {{{option}: {value}}}", said,
          None if said else lambda runs: runs[0].four_bit is None)  # fmt: skip
for value, said in (("[-0x8000000000000001]", "64 bits"), (f"[{HEX}]", "64 bits"), ("[true]", "true or false"),
                    ("[1.5]", "seeds.0"), ("[]", "seeds"), ("zero", "seeds"), ("[a]", "seeds.0")):  # fmt: skip
    study(f"seeds: {value:.20}", f"{LORA}seeds: {value}", said)
for value, said in (("limit: yes", "true or false"), ("limit: 0", "limit"), ("limit: -1", "limit"),
                    ("shots: -1", "shots"), ("shots: true", "true or"), (f"shots: {HEX}", "larger than any"),
                    ("limits: {workshop_math: on}", "true or"),
                    ("limits: 3", "limits"), ("dtype: float8", "dtype"), ("dtype: float16", "too small to train"),
                    ("chat_template: 2", "chat_template")):  # fmt: skip
    study(f"scoring: {value:.30}", f"{LORA}scoring: {{{value}}}", said)
study(
    "a number as a text",
    LORA + 'options: {rank: "64"}',
    right=one(lambda run: (run.lora.rank, run.lora.alpha) == (64, 128)),
)
study("a rate that YAML takes for a text", LORA + "options: {learning_rate: 1e-3}", right=trained(learning_rate=0.001))
study("epochs as a whole number", LORA + "options: {epochs: 3}", right=trained(epochs=3.0, steps=None))
study("a seed below 0", LORA + "seeds: [-1]", right=one(lambda run: run.seed == -1))
study("octal", LORA + "options: {rank: 010}", right=one(lambda run: run.lora.rank == 8))  # as YAML 1.1 says
study("sixties", LORA + "options: {rank: 1:30}", right=one(lambda run: run.lora.rank == 90))

# Grids that no one can run

VARIED = ", ".join(f"{name}: [{', '.join(str(0.01 * i) for i in range(1, 21))}]"
                   for name in ("learning_rate", "alpha", "dropout", "warmup", "weight_decay", "clip"))  # fmt: skip
study("64,000,000 runs", LORA + f"vary: {{{VARIED}}}", "64,000,000 runs")
study("11,000 seeds", LORA + f"seeds: [{', '.join(map(str, range(11_000)))}]", "11,000 runs")
study("a thousand grids", LORA + f"grids: [{', '.join(['{vary: {rank: [1, 2, 3, 4], alpha: [1, 2, 3, 4]}}'] * 1000)}]",
      "16,000 runs")  # fmt: skip
study("2,000 runs", LORA + f"seeds: [{', '.join(map(str, range(2000)))}]", right=lambda runs: len(runs) == 2000)

# Places


def place_row(name: str, make: Callable[[Path], Any], error: str, load: Callable[[Path], Any] = load_study) -> None:
    def act(place: Path) -> Any:
        make(place / "file")
        return load(place / "file")

    ROWS.append(Row("studies", name, act, error))


for read in (load_study, load_run_config):
    of = f"place of {read.__name__}"
    place_row(f"{of}: nothing", lambda path: None, "No such file", read)
    place_row(f"{of}: a directory", lambda path: path.mkdir(), "Is a directory", read)
    place_row(f"{of}: a pipe", os.mkfifo, "not a file", read)
    place_row(f"{of}: a link to itself", lambda path: path.symlink_to(path), "symbolic", read)
    place_row(f"{of}: a device without end", lambda path: path.symlink_to("/dev/zero"), "not a file", read)
    place_row(f"{of}: zeros", lambda path: (path.touch(), os.truncate(path, 10**9)), "MB that are read", read)
