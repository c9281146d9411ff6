"""Skips, with a word, where the backends are not built; fails there in CI. A failed test shows the servers' logs."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from deploy.backends import build
from tests.integration.servers import Server

NEEDED = ("otelcol", "prometheus", "jaeger", "alertmanager")


@pytest.fixture(autouse=True, scope="session")
def _built() -> None:
    missing = [name for name in NEEDED if build.binary(name) is None]
    if missing:
        said = f"{', '.join(missing)} not built in {build.folder()}: make backends"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections += [(f"log of {server.name}: {server.log}", server.tail()) for server in Server.newest]
    return report
