"""Points at which the Hub, which answered rightly so far, stops doing so."""

from __future__ import annotations

from typing import Any

from slimnb.models.offline import prepare_tiny
from tests.chaos.commands import HUB_MODEL, earlier
from tests.chaos.left import contents, told_badly
from tests.chaos.points import Chaos, Tried
from tests.hub_server import HubServer, Mode

COMMAND = "models get, Hub"
TROUBLES: dict[str, Mode | None] = {
    "the Hub unreachable": None,
    "the Hub slow": "hang",
    "the Hub answering garbage": "garbage",
    "the Hub answering no HTTP": "not_http",
    "the Hub answering errors": "error",
}
MOST_REQUESTS = 12
"""About as many as the command makes."""


class FailingHub(HubServer):
    """Serves rightly until so many requests have come, and then no more."""

    def __init__(self, repositories: Any, trouble: Mode, after: int):
        self.trouble, self.after = trouble, after
        super().__init__(repositories)

    @property
    def mode(self) -> Mode:
        return "right" if len(self.requests) <= self.after else self.trouble

    @mode.setter
    def mode(self, mode: Mode) -> None:
        """Nothing: the number of requests decides."""


def asked(url: str) -> dict[str, str]:
    """Variables by which a command asks this Hub, and waits two seconds for it."""
    return {"HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2"}


def hub_point(chaos: Chaos, fault: str) -> Tried:
    """The command while the Hub fails; then with one that answers, which must give the model."""
    trouble, after = TROUBLES[fault], chaos.dice.randint(0, MOST_REQUESTS)
    model = chaos.root / "hub model"
    if not model.exists():
        prepare_tiny(model)
    repositories = {HUB_MODEL: {file.name: file.read_bytes() for file in model.iterdir()}}
    tried = Tried(fault, COMMAND, after, True)
    with chaos.place(COMMAND) as place:
        before = contents(earlier(place))
        failing = FailingHub(repositories, trouble or "right", after)
        with failing.start():
            ended = chaos.start(COMMAND, place, **asked(failing.url)) if trouble else None
        ended = ended or chaos.start(COMMAND, place, **asked(failing.url))  # nobody listens there any more
        tried.wrong += told_badly(fault, ended)
        if ended.status not in (0, 1) or "a fault of slimnb's" in ended.err:
            tried.wrong.append(f"not told in words: {ended.err[-1500:]}")
        with HubServer(repositories).start() as right:
            again = chaos.start(COMMAND, place, **asked(right.url))
        if again.status != 0:
            tried.wrong.append(f"the next command ended with {again.status}: {again.err[-1500:]}")
        else:
            (found,) = (place / "hf").rglob("snapshots/*/model.safetensors")
            if found.read_bytes() != (model / "model.safetensors").read_bytes():
                tried.wrong.append("the model is not the one that the Hub has")
        if contents(earlier(place)) != before:
            tried.wrong.append("a finished run was changed")
    return tried
