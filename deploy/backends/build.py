"""Builds the pinned backends of `recipes.toml` from source: `python deploy/backends/build.py [NAME…]`; without, all.

Binaries and a note of what each was made from lie in SIDELIGHT_BACKENDS_DIR, else ~/.cache/sidelight-backends; what is
there already, from the same recipe, costs nothing. Needs Go, and its module proxy. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
RECIPES = tomllib.loads((HERE / "recipes.toml").read_text(encoding="utf-8"))
TAIL = 2_000  # characters of a failed command's output that are shown


class BuildError(Exception):
    """Why there is no binary, in words for who asked for it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One binary. package: relative to the module's root; set: Go variables the linker fills; says: as recipes.toml."""

    name: str
    module: str
    version: str
    package: str
    says: str
    manifest: str = ""
    tags: list[str] = field(default_factory=list)
    blank: list[str] = field(default_factory=list)
    set: dict[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """The same as long as the recipe, and the manifest it names, are."""
        made_of = json.dumps([getattr(self, name) for name in self.__slots__], sort_keys=True).encode()
        return hashlib.sha256(made_of + ((HERE / self.manifest).read_bytes() if self.manifest else b"")).hexdigest()


def recipes() -> dict[str, Recipe]:
    return {each["name"]: Recipe(**each) for each in RECIPES["binary"]}


def folder() -> Path:
    """Where the binaries lie."""
    given = os.environ.get("SIDELIGHT_BACKENDS_DIR")
    return Path(given) if given else Path.home() / ".cache" / "sidelight-backends"


def binary(name: str) -> Path | None:
    """The built binary; None when it is not there or was made by another recipe."""
    path, note = folder() / name, folder() / f"{name}.json"
    try:
        made = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return path if path.is_file() and made.get("digest") == recipes()[name].digest() else None


def toolchain() -> str:
    """Go's version. Raises BuildError where Go is missing or too old for the recipes."""
    wanted = RECIPES["go"]
    try:
        said = run(["go", "env", "GOVERSION"])
    except FileNotFoundError:
        raise BuildError(f"go is not on the PATH: Go {wanted} or newer builds the backends from source") from None
    found = said.strip().removeprefix("go")
    if _numbers(found) < _numbers(wanted):
        raise BuildError(f"Go {wanted} or newer builds the backends, this one is {found}")
    return found


def run(command: list[str], where: Path | None = None, **environment: str) -> str:
    """Its stdout. Raises BuildError with the end of what it said when it fails, FileNotFoundError without it."""
    done = subprocess.run(
        command,
        cwd=where,
        env=os.environ | {"GOWORK": "off", "CGO_ENABLED": "0"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-TAIL:]}")
    return done.stdout


def build(recipe: Recipe) -> float:
    """Makes the binary and its note; the seconds it took. Raises BuildError."""
    began = time.monotonic()
    into = folder()
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=f"{recipe.name}-") as work:
        made = compile_module(recipe, Path(work))
        if recipe.manifest:
            made = compile_manifest(recipe, made, Path(work) / "made")
        check(made, recipe)
        made.replace(into / recipe.name)
    seconds = time.monotonic() - began
    note = {"digest": recipe.digest(), "module": recipe.module, "version": recipe.version, "seconds": round(seconds)}
    (into / f"{recipe.name}.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    return seconds


def compile_module(recipe: Recipe, work: Path) -> Path:
    """The recipe's package, built inside a copy of its module: Go's own module folder cannot be written to."""
    source = work / "source"
    found = json.loads(run(["go", "mod", "download", "-json", f"{recipe.module}@{recipe.version}"]))
    # Copied without the modes: files of the module folder are read-only.
    shutil.copytree(found["Dir"], source, copy_function=shutil.copyfile)
    for path in [source, *source.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    for name in recipe.blank:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    symbols = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in recipe.set.items())])
    made = work / "binary"
    tags = ",".join(recipe.tags)
    run(["go", "build", "-trimpath", "-tags", tags, "-ldflags", symbols, "-o", str(made), recipe.package], source)
    return made


def compile_manifest(recipe: Recipe, builder: Path, into: Path) -> Path:
    """The Collector: its builder writes a main module from the manifest, and compiles it."""
    builder = builder.rename(builder.with_name("builder"))
    manifest = into.with_suffix(".yaml")
    text = (HERE / recipe.manifest).read_text(encoding="utf-8")
    manifest.write_text(text.replace("dist:\n", f"dist:\n  output_path: {into}\n"), encoding="utf-8")
    run([str(builder), f"--config={manifest}"])
    return into / recipe.name


def check(made: Path, recipe: Recipe) -> None:
    """Raises BuildError unless the binary runs and is the version asked for."""
    said = run([str(made), "--version"])
    if recipe.says not in said:
        raise BuildError(f"{recipe.name} --version says {said.strip()[:200]!r}, not {recipe.says}")


def main(names: list[str]) -> int:
    """Builds what is missing; 1 when something could not be built, 2 for an unknown name."""
    known = recipes()
    if unknown := [name for name in names if name not in known]:
        print(f"no recipe for {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    missing = [known[name] for name in names or known if binary(name) is None]
    failed = 0
    try:
        if missing:
            print(f"Go {toolchain()}, into {folder()}; the first time takes minutes a backend")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    for recipe in missing:
        print(f"{recipe.name} {recipe.module}@{recipe.version} …", flush=True)
        try:
            print(f"{recipe.name} built in {build(recipe):.0f} s", flush=True)
        except BuildError as error:
            failed += 1
            print(f"{recipe.name} failed: {error}", file=sys.stderr, flush=True)
    for name in names or known:
        print(f"{name}: {binary(name) or 'not built'}")
    return 1 if failed else 0


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
