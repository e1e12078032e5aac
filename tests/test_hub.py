"""Data sets and models from the Hub, end to end, against a local server that speaks the Hub's protocol.

HF_ENDPOINT and the caches are read when the libraries are imported, so everything is loaded in a process of its own.
The repositories have the Hub's layouts and schemas; their few rows are made up.
"""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from slimnb.data.load import DATA_SETS, MMLU_CS_SUBJECTS, load_rows
from slimnb.models.load import weights_sha256
from slimnb.models.offline import prepare_tiny
from tests.hub_server import GARBAGE, HubServer

Row = dict[str, Any]
Repositories = dict[str, dict[str, bytes]]

MODEL = "some-org/tiny-random"
EVAL = ["eval", "--benchmarks", "gsm8k", "--limit", "2", "--shots", "0", "--json", "--model"]
LIMIT = 20.0
"""Seconds in which trouble must be told; it takes 1 to 3 of them, with a server that hangs 6. The Hub's libraries by
themselves would take more than 23."""

# --- The rows, as the Hub has them


def hellaswag_row(number: int, split: str) -> Row:
    first, second = f"Somebody picks up {number} eggs.", "she"
    return {
        "ind": number, "activity_label": "Making an omelet", "ctx_a": first, "ctx_b": second,
        "ctx": f"{first} {second}", "endings": [f"{verb} egg no. {number}." for verb in ("eats", "breaks", "é", "c")],
        "source_id": f"activitynet~v_{number}", "split": split, "split_type": "indomain",
        "label": "" if split == "test" else str(number % 4),
    }  # fmt: skip


def gsm8k_row(number: int) -> Row:
    work = f"<<{number}+{number}={2 * number}>>{2 * number}"
    return {
        "question": f"Ann has {number} pears and gets as many again. How many?",
        "answer": f"{work}\n#### {number * 2}",
    }


def mmlu_row(number: int, subject: str) -> Row:
    choices = [str(2 ** (number + i)) for i in range(4)]
    return {"question": f"What is 2**{number}?", "subject": subject, "choices": choices, "answer": number % 4}


def openbookqa_row(number: int, key: str) -> Row:
    choices = {"text": ["the Sun", f"{number} lamps", "a stone", "rain"], "label": ["A", "B", "C", "D"]}
    return {"id": f"7-{number}", "question_stem": f"Plant {number} grows by", "choices": choices, "answerKey": key}


HELLASWAG = {
    split: [hellaswag_row(n + start, source) for n in range(5)]
    for split, source, start in (("train", "train", 0), ("validation", "val", 10), ("test", "test", 20))
}
GSM8K = {"train": [gsm8k_row(n) for n in range(6)], "test": [gsm8k_row(n) for n in range(10, 14)]}
MMLU = {
    subject: {split: [mmlu_row(n + start, subject) for n in range(5)]
              for split, start in (("dev", 0), ("validation", 10), ("test", 20))}
    for subject in MMLU_CS_SUBJECTS
}  # fmt: skip
OPENBOOKQA = [openbookqa_row(number, key) for number, key in enumerate(("B", "A", "D", " C"))]
ALPACA = [
    {"instruction": "Name a fruit.", "input": "", "output": "Pear.", "text": "The whole prompt."},
    {"instruction": "Sum up.", "input": "A long day.", "output": "", "text": "The real set has empty outputs too."},
]
DOLLY = [
    {"instruction": "Who came?", "context": "Ann came.", "response": "Ann.", "category": "closed_qa"},
    {"instruction": "Say hello.", "context": "", "response": "Hello.", "category": "creative_writing"},
]
CODE_ALPACA = [
    {"instruction": "Write a sum in Python.", "input": "1, 2", "output": "sum([1, 2])"},
    {"instruction": "What does `pass` do?", "input": "", "output": "Nothing."},
]
LOCAL: dict[str, dict[str, list[Row]]] = {
    "hellaswag": {split: HELLASWAG[split] for split in ("train", "validation")},
    "gsm8k": GSM8K,
    **{f"mmlu/{subject}": splits for subject, splits in MMLU.items()},
    "openbookqa": {
        "train": [
            {"question": f"Plant {number} grows by", "subject": "openbookqa", "answer": answer,
             "choices": ["the Sun", f"{number} lamps", "a stone", "rain"]}
            for number, answer in enumerate((1, 0, 3, 2))
        ]
    },
    "alpaca": {"train": ALPACA},
    "dolly": {
        "train": [
            {"instruction": "Who came?", "input": "Ann came.", "output": "Ann."},
            {"instruction": "Say hello.", "input": "", "output": "Hello."},
        ]
    },
    "code_alpaca": {"train": CODE_ALPACA},
}  # fmt: skip
"""The same rows in slimnb's own schemas, for a directory named by --data."""


# --- The repositories, as the Hub has them


def card(configs: dict[str, dict[str, str]] | None = None, **more: Any) -> bytes:
    """README.md with the Hub's header: which files make up which split of which config."""
    header: dict[str, Any] = {"language": ["en"], **more}
    if configs:
        header["configs"] = [
            {"config_name": name, "data_files": [{"split": s, "path": path} for s, path in splits.items()]}
            for name, splits in configs.items()
        ]
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# Made up\n".encode()


def info(features: list[Row], splits: dict[str, list[Row]], **more: Any) -> Row:
    counts = [{"name": name, "num_bytes": 100, "num_examples": len(rows)} for name, rows in splits.items()]
    return {**more, "features": features, "splits": counts}


def strings(*names: str) -> list[Row]:
    return [{"name": name, "dtype": "string"} for name in names]


def parquet(rows: list[Row], **types: pa.DataType) -> bytes:
    table = pa.Table.from_pylist(rows)
    schema = table.schema
    for name, kind in types.items():
        schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
    stream = io.BytesIO()
    pq.write_table(table.cast(schema), stream)
    return stream.getvalue()


def shard(split: str) -> str:
    return f"{split}-00000-of-00001.parquet"


def globs(folder: str, *splits: str) -> dict[str, str]:
    return {split: f"{folder}/{split}-*" for split in splits}


def data_repositories() -> Repositories:
    list_of_strings = {"name": "choices", "sequence": "string"}
    letters = {"class_label": {"names": {"0": "A", "1": "B", "2": "C", "3": "D"}}}
    mmlu_features = [*strings("question", "subject"), list_of_strings, {"name": "answer", "dtype": letters}]
    hellaswag_features = [
        {"name": "ind", "dtype": "int32"}, *strings("activity_label", "ctx_a", "ctx_b", "ctx"),
        {"name": "endings", "sequence": "string"}, *strings("source_id", "split", "split_type", "label"),
    ]  # fmt: skip
    book_features = [
        *strings("id", "question_stem"), {"name": "choices", "sequence": strings("text", "label")},
        *strings("answerKey"),
    ]  # fmt: skip
    book_splits = {"train": OPENBOOKQA, "validation": OPENBOOKQA[:1], "test": OPENBOOKQA[1:2]}
    return {
        "datasets/Rowan/hellaswag": {
            "README.md": card(
                {"default": globs("data", *HELLASWAG)}, dataset_info=info(hellaswag_features, HELLASWAG)
            ),
            **{f"data/{shard(split)}": parquet(rows, ind=pa.int32()) for split, rows in HELLASWAG.items()},
        },
        "datasets/openai/gsm8k": {
            "README.md": card(
                {name: globs(name, "train", "test") for name in ("main", "socratic")},
                dataset_info=[info(strings("question", "answer"), GSM8K, config_name=c) for c in ("main", "socratic")],
            ),
            **{f"{name}/{shard(split)}": parquet(GSM8K[split][::step])
               for name, step in (("main", 1), ("socratic", -1)) for split in GSM8K},
        },
        "datasets/cais/mmlu": {
            "README.md": card(
                {subject: globs(subject, "test", "validation", "dev") for subject in MMLU},
                dataset_info=[info(mmlu_features, splits, config_name=s) for s, splits in MMLU.items()],
            ),
            **{f"{subject}/{shard(split)}": parquet(rows)
               for subject, splits in MMLU.items() for split, rows in splits.items()},
        },
        "datasets/allenai/openbookqa": {
            "README.md": card(
                {name: globs(name, *book_splits) for name in ("additional", "main")},
                dataset_info=[info(book_features, book_splits, config_name="main")],
            ),
            **{f"main/{shard(split)}": parquet(rows) for split, rows in book_splits.items()},
            **{f"additional/{shard(split)}": parquet([{**row, "fact1": "Plants need light."} for row in rows])
               for split, rows in book_splits.items()},
        },
        "datasets/tatsu-lab/alpaca": {
            "README.md": card(license="cc-by-nc-4.0"),
            "data/train-00000-of-00001-a09b74b3ef9c3b56.parquet": parquet(ALPACA),
        },
        "datasets/databricks/databricks-dolly-15k": {
            "README.md": card(license="cc-by-sa-3.0"),
            "databricks-dolly-15k.jsonl": "".join(json.dumps(row) + "\n" for row in DOLLY).encode(),
        },
        "datasets/sahil2801/CodeAlpaca-20k": {
            "README.md": card(),
            "code_alpaca_20k.json": json.dumps(CODE_ALPACA, indent=4).encode(),
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Repositories:
    tiny = tmp_path_factory.mktemp("model") / "tiny"
    prepare_tiny(tiny)
    files = {file.name: file.read_bytes() for file in tiny.iterdir()}
    # Weights in a form that slimnb must neither want nor fetch.
    return {**data_repositories(), MODEL: {**files, "README.md": card(), "pytorch_model.bin": GARBAGE}}


# --- Processes of their own


def environment(url: str, home: Path, **more: str) -> dict[str, str]:
    """Nothing of this process's environment, so that no setting of the machine's owner decides a test."""
    return {
        "PATH": "", "HOME": str(home), "HF_HOME": str(home / "hf"), "SLIMNB_HOME": str(home / "slimnb"),
        "HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1",
        # In a model this small, threads on a busy machine do nothing but wait for each other.
        "OMP_NUM_THREADS": "1",
        # Else `datasets` tells a server outside that a data set was loaded.
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        # A server that hangs is given up after this many seconds.
        "HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        # What would leave this machine comes to the local server, which has no answer but writes it down.
        "HTTP_PROXY": url, "HTTPS_PROXY": url, "NO_PROXY": "127.0.0.1,localhost",
        **more,
    }  # fmt: skip


def python(
    arguments: list[str], url: str, home: Path, limit: float = 120, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment(url, home, **more), cwd=home, capture_output=True, text=True,
        timeout=limit,
    )  # fmt: skip


def slimnb(arguments: list[str], url: str, home: Path, limit: float = 120) -> subprocess.CompletedProcess[str]:
    return python(["-m", "slimnb", *arguments], url, home, limit)


# --- Data sets

LOAD = """
import json, sys
from slimnb.data.load import load_rows

loaded = {f"{name} {split}": load_rows(name, split) for name, split in json.loads(sys.argv[1])}
json.dump({key: [rows.sha256, rows.source, [row.model_dump() for row in rows.rows]] for key, rows in loaded.items()},
          sys.stdout)
"""
SPLITS = [(one.name, split) for one in DATA_SETS.values() if one.hub is not None for split in one.files]


@pytest.fixture(scope="module")
def from_hub(repositories: Repositories, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str]]:
    """Every split of every data set as loaded from the server, and the requests that took."""
    with HubServer(repositories).start() as hub:
        done = python(["-c", LOAD, json.dumps(SPLITS)], hub.url, tmp_path_factory.mktemp("home"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), hub.requests


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows as a data directory."""
    place = tmp_path_factory.mktemp("data")
    for name, splits in LOCAL.items():
        for split, rows in splits.items():
            file = place / DATA_SETS[name].files[split]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return place


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_rows_from_the_hub_equal_those_of_a_directory(
    name: str, split: str, from_hub: tuple[dict[str, Any], list[str]], directory: Path
) -> None:
    sha256, source, rows = from_hub[0][f"{name} {split}"]
    local = load_rows(name, split, directory)
    assert rows == [row.model_dump() for row in local.rows]
    assert len(rows) == len(LOCAL[name][split])
    assert sha256 == local.sha256
    assert source == f"Hub: {DATA_SETS[name].hub}"


def test_only_the_endpoint_is_asked(from_hub: tuple[dict[str, Any], list[str]]) -> None:
    # `datasets` looks for the data set viewer on a name below the endpoint's; it does without where there is none.
    outside = [line for line in from_hub[1] if line.split()[1][0] != "/" and "//datasets-server.127.0.0.1" not in line]
    assert outside == []


# --- A model, and all of it together


@pytest.fixture(scope="module")
def evaluated(
    repositories: Repositories, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], list[str], str, Path]:
    """`slimnb eval`'s document, the requests it took, and the stopped server's address and the caches it filled."""
    home = tmp_path_factory.mktemp("home")
    with HubServer(repositories).start() as hub:
        done = slimnb([*EVAL, MODEL], hub.url, home)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), hub.requests, hub.url, home


def test_eval_takes_model_and_data_from_the_hub(
    evaluated: tuple[dict[str, Any], list[str], str, Path], repositories: Repositories, tmp_path: Path
) -> None:
    document, requests, _, _ = evaluated
    result = document["benchmarks"]["gsm8k"]
    assert result["items"] == 2
    assert {name: score["n"] for name, score in result["metrics"].items()} == {"strict-match": 2, "flexible-extract": 2}
    assert document["model"]["name"] == MODEL
    (tmp_path / "model.safetensors").write_bytes(repositories[MODEL]["model.safetensors"])
    assert document["model"]["weights_sha256"] == weights_sha256(tmp_path)
    assert not [line for line in requests if "pytorch_model.bin" in line]


CACHED = """
import json, sys
from slimnb.data.load import load_rows
from slimnb.models.load import get_model, weights_sha256

json.dump([load_rows("gsm8k", "test").sha256, weights_sha256(get_model(sys.argv[1]))], sys.stdout)
"""


@pytest.mark.parametrize("offline", [pytest.param("1", id="offline mode"), pytest.param("0", id="gone")])
def test_what_was_loaded_once_needs_no_server(
    offline: str, evaluated: tuple[dict[str, Any], list[str], str, Path], directory: Path
) -> None:
    document, _, url, home = evaluated
    done = python(["-c", CACHED, MODEL], url, home, LIMIT, HF_HUB_OFFLINE=offline)
    assert done.returncode == 0, done.stderr
    rows = load_rows("gsm8k", "test", directory)
    assert json.loads(done.stdout) == [rows.sha256, document["model"]["weights_sha256"]]


# --- What goes wrong


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server with the trouble that the test names."""
    trouble = request.param
    if trouble == "down":
        server = HubServer({})
        with server.start():
            pass
        yield server.url  # which refuses connections now
    else:
        with HubServer({}, "right" if trouble == "unknown" else trouble).start() as server:
            yield server.url


def assert_told_in_words(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "a fault of slimnb's" not in done.stderr
    assert [part for part in parts if part not in done.stderr] == [], done.stderr


@pytest.mark.parametrize(
    "address",
    [
        "unknown", "garbage", "not_http", "down",
        "error", "hang",
    ],
    indirect=True,
)  # fmt: skip
def test_a_data_set_that_the_hub_does_not_give(address: str, tmp_path: Path) -> None:
    done = slimnb([*EVAL, "tiny"], address, tmp_path, LIMIT)
    assert_told_in_words(done, "gsm8k: openai/gsm8k could not be loaded", "DIR/gsm8k/test.jsonl", "name DIR by --data")


@pytest.mark.parametrize(
    "address",
    [
        "unknown", "garbage", "not_http", "down", "error",
        "hang",
    ],
    indirect=True,
)  # fmt: skip
def test_a_model_that_the_hub_does_not_give(address: str, tmp_path: Path) -> None:
    done = slimnb(["models", "get", MODEL], address, tmp_path, LIMIT)
    assert_told_in_words(done, MODEL, "nor a local directory", "could not be downloaded from the Hub", "tiny")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GARBAGE, "gsm8k: openai/gsm8k could not be loaded"),
        (parquet([*GSM8K["test"], {"question": "What is missing?"}]), "openai/gsm8k test row 5: answer"),
    ],
    ids=["damaged", "incomplete"],
)
def test_a_file_that_is_not_right(content: bytes, message: str, repositories: Repositories, tmp_path: Path) -> None:
    files = repositories["datasets/openai/gsm8k"] | {f"main/{shard('test')}": content}
    files["README.md"] = card({"main": globs("main", "test")})
    with HubServer({"datasets/openai/gsm8k": files}).start() as hub:
        done = slimnb([*EVAL, "tiny"], hub.url, tmp_path, LIMIT)
    assert_told_in_words(done, message)
