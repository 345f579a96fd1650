"""The register of traps is complete and true."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from conversation_pipeline_tests.traps import TRAPS

HERE = Path(__file__).parent


@cache
def _tests_of(file: str) -> set[str]:
    tree = ast.parse((HERE / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_trap_of_the_reference_is_registered() -> None:
    """All 31 of section 4, none left out."""
    assert sorted(TRAPS) == list(range(1, 32))


@pytest.mark.parametrize("number", TRAPS)
def test_a_trap_has_tests_that_exist(number: int) -> None:
    """Each trap names a test or more; a test that was renamed or removed is missed here."""
    named = [test.partition("::") for test in TRAPS[number].tests]

    assert named
    assert [name for file, _, name in named if name not in _tests_of(file)] == []
