"""The bars of predicted memory, from real predictions."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slimnb.config import METHODS
from slimnb.figures.budget import ITEM_STYLE, memory_items
from slimnb.planning.architecture import read_architecture
from slimnb.planning.memory import Prediction, Setup, predict

Predictions = dict[str, Prediction]


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    place: Path = tmp_path_factory.mktemp("model")
    (place / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 4}')
    model, found = read_architecture(str(place)), {}
    for device in ("cpu", "cuda"):
        for method in METHODS:
            setup: Any = Setup(method, batch_size=32, length=512, device=device)
            found[f"{method} on {device}"] = predict(model, setup)
    return found


def framed(predictions: Predictions) -> pd.DataFrame:
    return pd.DataFrame(
        [{"setup": name, "item": i.name, "bytes": i.bytes} for name, one in predictions.items() for i in one.items]
    )


def test_the_bars_of_a_setup_add_up_to_its_peak_and_no_item_is_left_out(predictions: Predictions) -> None:
    assert {item.name for one in predictions.values() for item in one.items} <= ITEM_STYLE.keys()
    figure = memory_items(framed(predictions))
    bars: Any = figure.data
    for place, one in enumerate(predictions.values()):
        lengths = [x for bar in bars for x, y in zip(bar.x, bar.y, strict=True) if y == place]
        assert sum(lengths) == pytest.approx(one.peak / 1e9)
    layout: Any = figure.layout
    assert list(layout.yaxis.ticktext) == list(predictions)
    assert "full on cuda" in layout.meta["alt"] and layout.xaxis.title.text == "memory (GB)"


def test_no_two_items_look_alike() -> None:
    assert len(set(ITEM_STYLE.values())) == len(ITEM_STYLE)


def test_what_there_is_is_drawn_as_a_line(predictions: Predictions) -> None:
    traces: Any = memory_items(framed(predictions), 24 * 10**9).data
    assert traces[-1].mode == "lines" and list(traces[-1].x) == [24, 24]


def test_nothing_predicted_gives_a_figure_that_says_so() -> None:
    layout: Any = memory_items(pd.DataFrame()).layout
    assert layout.meta["alt"].startswith("An empty figure")
