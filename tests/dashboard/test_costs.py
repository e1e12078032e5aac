"""The pages Training and Cost."""

from slimnb.store.records import Costs
from slimnb.store.runs import RunFolder
from tests.conftest import MakeRun
from tests.dashboard.app import Open, checked, figures, names, texts


def test_training_shows_the_chosen_runs(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("training")
    assert names(figures(app)[0]) == ["LoRA", "QLoRA", "full"]
    app = open_page("training", run=[runs["full"].path.name, runs["lora"].path.name])
    assert names(figures(app)[0]) == ["LoRA", "full"]
    app.multiselect(key="run").set_value([runs["qlora"].path.name])
    assert names(figures(checked(app.run()))[0]) == ["QLoRA"]
    assert app.query_params["run"] == runs["qlora"].path.name


def test_training_shows_what_is_asked_for_smoothed_over_raw(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("training", run=runs["full"].path.name, what="Learning rate", smoothing="0.5")
    smooth, raw = figures(app)[0]["data"]
    assert raw["opacity"] < smooth["opacity"] and raw["y"] == [0.1, 0.1, 0.1]


def test_cost_shows_memory_time_and_parameters(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("cost")
    memory, time, *_ = figures(app)
    assert [trace["x"] for trace in memory["data"]][:4] == [[2.0]] * 4
    assert [trace["x"] for trace in time["data"]][:4] == [[0.0], [1.0], [1.0], [1.0]]
    assert not app.warning
    assert list(app.dataframe[0].value["batch size"].dropna()) == [8, 8, 8]


def test_cost_warns_of_different_batch_sizes(open_page: Open, make_run: MakeRun):
    for method, size in (("lora", 4), ("qlora", 8)):
        make_run(method, batch_size=size)
    app = open_page("cost")
    assert "do not compare the methods" in app.warning[0].value and "batch_size 4 and 8" in texts(app)


def test_cost_shows_the_size_of_what_is_kept(open_page: Open, make_run: MakeRun):
    for method in ("base", "lora", "full"):
        run = make_run(method)
        run.record.costs = Costs(trainable_parameters=10**6, weights_bytes=3 * 10**8)
        run.save()
    app = open_page("cost")
    assert list(app.dataframe[0].value["kept (MB)"]) == [0.0, 4.0, 300.0]
    assert [trace["x"] for trace in figures(app)[3]["data"]][:3] == [[0.0], [4.0], [300.0]]


def test_predicted_memory_stands_beside_measured(open_page: Open, make_run: MakeRun):
    make_run("lora")
    predicted = figures(open_page("cost"))[4]
    assert predicted["layout"]["title"]["text"] == "Memory predicted and measured"
