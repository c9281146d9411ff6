"""The examples in what people read are run."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from agent import config, figures
from agent.drift import fixed
from agent.power import report, shifts
from agent.report import findings
from agent.web import ledger, terminal


@pytest.mark.parametrize("module", [config, findings, fixed, report, shifts, figures, ledger, terminal])
def test_examples_are_right(module: ModuleType) -> None:
    """Every doctest of the module."""
    assert doctest.testmod(module, extraglobs={"np": __import__("numpy")}).failed == 0
