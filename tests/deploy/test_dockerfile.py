"""The image, as far as it can be judged without a container engine. docs/deploy.md says what is left to see."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Instruction = tuple[str, str]
COMPILERS = re.compile(r"\b(apt-get|apt|apk|gcc|g\+\+|clang|make|build-essential|python3?-dev|rustc|cargo)\b")


def _stages(text: str) -> list[list[Instruction]]:
    """Instructions by stage: (keyword, arguments), comments gone, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    stages: list[list[Instruction]] = []
    for line in joined.splitlines():
        keyword, _, arguments = line.strip().partition(" ")
        if keyword.upper() == "FROM":
            stages.append([])
        stages[-1].append((keyword.upper(), arguments.strip()))
    return stages


@pytest.fixture
def stages() -> list[list[Instruction]]:
    """The Dockerfile's stages."""
    return _stages((ROOT / "Dockerfile").read_text())


def _only(stage: list[Instruction], keyword: str) -> str:
    found = [arguments for word, arguments in stage if word == keyword]
    assert len(found) == 1, f"{keyword}: {found}"
    return found[0]


def test_reading_stages_joins_continued_lines_and_drops_comments() -> None:
    """The reader of this file sees what the builder sees."""
    text = "FROM a\n# no\nRUN b \\\n# nor here\n && c\nFROM d"
    assert _stages(text) == [[("FROM", "a"), ("RUN", "b   && c")], [("FROM", "d")]]


def test_there_are_two_stages_on_the_same_pinned_base(stages: list[list[Instruction]]) -> None:
    """One builds, one runs, on one base: the environment's interpreter is a link into it."""
    bases = [_only(stage, "FROM").split() for stage in stages]
    assert len(bases) == 2
    assert bases[0][1:] == ["AS", "build"]
    assert bases[1] == bases[0][:1]
    assert re.fullmatch(r"python:3\.12-slim-\w+(@sha256:[0-9a-f]{64})?", bases[1][0])


def test_nothing_is_compiled_and_no_compiler_is_installed(stages: list[list[Instruction]]) -> None:
    """Dependencies come as wheels only; neither stage installs anything from the distribution."""
    commands = [arguments for stage in stages for word, arguments in stage if word == "RUN"]
    assert not [command for command in commands if COMPILERS.search(command)]
    assert any("--only-binary :all:" in command for command in commands)
    assert any("--no-index" in command for command in commands)


def test_what_trebles_the_image_is_in_a_second_one(stages: list[list[Instruction]]) -> None:
    """pyarrow comes where the build is asked for it; wheels and installation take the same extras."""
    arguments = dict(given.split("=") for word, given in stages[0] if word == "ARG")
    assert arguments == {"EXTRAS": "redis", "PACKAGES": ""}
    commands = [given for word, given in stages[0] if word == "RUN"]
    assert [command.count("${EXTRAS:+[$EXTRAS]}\" $PACKAGES") for command in commands] == [1, 1]


def test_the_result_carries_the_environment_and_the_health_check_alone(stages: list[list[Instruction]]) -> None:
    """No sources, no wheels, no pip of the build reach the image that runs."""
    copies = [arguments for word, arguments in stages[1] if word in ("COPY", "ADD")]
    assert copies == [
        "--from=build /opt/sidelight /opt/sidelight",
        "deploy/healthcheck.py /opt/sidelight/healthcheck.py",
    ]
    assert any("venv --without-pip /opt/sidelight" in arguments for word, arguments in stages[0] if word == "RUN")


def test_it_runs_as_a_numeric_user_that_is_not_root(stages: list[list[Instruction]]) -> None:
    """runAsNonRoot can only be checked by Kubernetes when the user is a number; what follows USER runs as that user."""
    user, group = _only(stages[1], "USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    words = [word for word, _ in stages[1]]
    assert "RUN" not in words[words.index("USER") :]


def test_a_read_only_root_is_enough(stages: list[list[Instruction]]) -> None:
    """What is written goes to the two volumes; bytecode is there already and no start tries to write any."""
    variables = " ".join(arguments for word, arguments in stages[1] if word == "ENV")
    assert _only(stages[1], "VOLUME") == '["/var/lib/sidelight", "/run/sidelight"]'
    for setting in (
        "PYTHONDONTWRITEBYTECODE=1",
        "TMPDIR=/var/lib/sidelight",
        "SIDELIGHT_STATE_DIR=/var/lib/sidelight",
        "SIDELIGHT_ENDPOINT=unix:/run/sidelight/agent.sock",
    ):
        assert setting in variables
    assert any("compileall" in arguments for word, arguments in stages[1] if word == "RUN")


def test_the_command_is_the_agent_without_a_shell(stages: list[list[Instruction]]) -> None:
    """SIGTERM reaches the agent itself, and `docker run IMAGE status` works."""
    assert _only(stages[1], "ENTRYPOINT") == '["sidelight"]'
    assert _only(stages[1], "CMD") == '["run"]'


def test_every_source_of_a_copy_passes_the_ignore_file(stages: list[list[Instruction]]) -> None:
    """The ignore file is an allow list: what the build copies is on it, exists, and nothing else is let through."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = {
        source
        for stage in stages
        for word, arguments in stage
        if word == "COPY" and "--from" not in arguments
        for source in arguments.split()[:-1]
    }
    assert copied == allowed
