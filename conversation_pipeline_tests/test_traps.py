"""The register of traps is complete and true."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from conversation_pipeline_tests.traps import ENTRIES, ON_PLATFORM, TRAPS

HERE = Path(__file__).parent


@cache
def _tests_of(file: str) -> set[str]:
    tree = ast.parse((HERE / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_trap_of_the_reference_is_registered() -> None:
    """All 31 of the platform (section 4) and all 27 of the entry APIs (section 5), none left out."""
    assert sorted(ON_PLATFORM) == list(range(1, 32))
    assert sorted(ENTRIES) == list(range(1, 28))


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_has_tests_that_exist(trap: str) -> None:
    """Each trap names a test or more; a test that was renamed or removed is missed here."""
    named = [test.partition("::") for test in TRAPS[trap].tests]

    assert named
    assert [name for file, _, name in named if name not in _tests_of(file)] == []
