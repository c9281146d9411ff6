"""The schema file of each model, read once, at the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import UnusableReferenceError
from agent.reference.locate import quoted
from agent.reference.schema import Schema, load

SUFFIX = ".schema.toml"
NOTHING = Schema()


@dataclass(frozen=True)
class Schemas:
    """every: what is said of every model; models: of one each, by the file's name without its end."""

    every: Schema = NOTHING
    models: Mapping[str, Schema] = field(default_factory=dict)

    @classmethod
    def at(cls, location: str) -> Schemas:
        """location: a file, for every model; or a folder with MODEL.schema.toml; "": nothing is said.

        Raises UnusableReferenceError with file, line, field and what was expected.
        """
        path = Path(location)
        if not location:
            return cls()
        if not path.is_dir():
            return cls(load(path))
        files = sorted(path.glob(f"*{SUFFIX}"))
        if not files:
            raise UnusableReferenceError(f"{path}: no MODEL{SUFFIX} in it")
        return cls(models={file.name.removesuffix(SUFFIX): load(file) for file in files})

    def of(self, model: str) -> Schema:
        return self.models.get(quoted(model), self.every)
