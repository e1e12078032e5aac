"""Nothing that a stranger gives is run: the code calls nothing that could, and a model's own program is refused."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from slimnb.errors import SlimnbError
from slimnb.models.load import get_model, load_model

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "slimnb").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")])
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "pd.read_pickle", "pandas.read_pickle", "shutil.unpack_archive",
}  # fmt: skip
OPTIONS = {("trust_remote_code", True), ("allow_pickle", True), ("weights_only", False), ("shell", True)}


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def forbidden(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {one.name}" for one in node.names if one.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call):
            called, options = name_of(node.func), {one.arg: one.value for one in node.keywords}
            if called in CALLS or called.endswith(".extractall"):
                yield called
            if called == "torch.load" and "weights_only" not in options:
                yield "torch.load without weights_only"
            for name, value in OPTIONS:
                given = options.get(name)
                if isinstance(given, ast.Constant) and given.value is value:
                    yield f"{name}={value}"
        elif isinstance(node, ast.Dict):
            for key, given in zip(node.keys, node.values, strict=True):
                pair = (getattr(key, "value", None), getattr(given, "value", None))
                if pair in OPTIONS and isinstance(pair[1], bool):
                    yield f"{pair[0]}={pair[1]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_code_calls_nothing_that_runs_what_it_reads(path: Path) -> None:
    found = list(forbidden(ast.parse(path.read_text("utf-8"))))
    assert not found


@pytest.mark.parametrize(
    "code",
    ["import pickle", "from joblib import load", "eval('1')", "torch.load(x)", "torch.load(x, weights_only=False)",
     "np.load(x, allow_pickle=True)", "yaml.load(x)", "tar.extractall(x)", "subprocess.run(x, shell=True)",
     "f(trust_remote_code=True)",     "options = {'trust_remote_code': True}"],
)  # fmt: skip
def test_what_must_not_be_called_is_seen(code: str) -> None:
    assert list(forbidden(ast.parse(code)))


@pytest.mark.parametrize("code", ["model.eval()", "torch.load(x, weights_only=True)", "yaml.safe_load(x)"])
def test_what_may_be_called_is_left_alone(code: str) -> None:
    assert not list(forbidden(ast.parse(code)))


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A copy of the tiny model's directory, to be spoilt."""
    return Path(shutil.copytree(get_model("tiny"), tmp_path / "model"))


def test_pickled_weights_are_refused_with_the_way_to_convert_them(stranger: Path) -> None:
    for file in stranger.glob("*.safetensors"):
        file.unlink()
    torch.save({}, stranger / "pytorch_model.bin")
    with pytest.raises(SlimnbError, match=r"pytorch_model.bin is pickled.*save_pretrained\(NEW\)"):
        load_model(str(stranger))


def test_a_model_that_brings_a_program_is_refused(stranger: Path) -> None:
    ran = stranger.parent / "ran"
    (stranger / "modeling_own.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = json.loads((stranger / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "modeling_own.M"},
    }
    (stranger / "config.json").write_text(json.dumps(config))
    with pytest.raises(SlimnbError, match=r"a program of its own \(modeling_own.py, config.json \(auto_map\)\)"):
        load_model(str(stranger))
    assert not ran.exists()


def test_a_tokenizer_that_brings_a_program_is_refused(stranger: Path) -> None:
    path = stranger / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["x.T", None]}}))
    with pytest.raises(SlimnbError, match="auto_map"):
        load_model(str(stranger))


def test_what_a_trainer_leaves_beside_safetensors_does_no_harm(stranger: Path) -> None:
    torch.save({}, stranger / "training_args.bin")
    assert load_model(str(stranger), "float32", device="cpu").name == str(stranger)
