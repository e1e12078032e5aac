"""The tensors of a model's or an adapter's safetensors files, one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from slimnb.errors import SlimnbError


class Weights:
    """The tensors of a directory's safetensors files, each read when it is asked for."""

    def __init__(self, directory: Path):
        """Raises SlimnbError where there is no such file or one is damaged."""
        self.directory = directory
        self._files: dict[str, Any] = {}
        for path in sorted(directory.glob("*.safetensors")):
            try:
                file = safe_open(path, framework="pt")
            except (OSError, SafetensorError) as error:
                raise SlimnbError(f"{path}: cannot be read ({error})") from error
            self._files |= dict.fromkeys(file.keys(), file)
        if not self._files:
            raise SlimnbError(f"{directory}: no weights in safetensors files")

    @property
    def names(self) -> list[str]:
        return list(self._files)

    def is_matrix(self, name: str) -> bool:
        return len(self._files[name].get_slice(name).get_shape()) == 2

    def __getitem__(self, name: str) -> Tensor:
        return self._files[name].get_tensor(name)

    def of_module(self, module: str) -> Tensor:
        """A module's weight. Some checkpoints leave out the first part of the name that the module has in the model.

        Raises:
            SlimnbError: there is none.
        """
        wanted = f"{module}.weight"
        found = [wanted] if wanted in self._files else [key for key in self._files if wanted.endswith(f".{key}")]
        if len(found) != 1:
            raise SlimnbError(f"{self.directory}: no weight of {module}, which the run trained")
        return self[found[0]]
