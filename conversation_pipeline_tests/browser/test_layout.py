"""The report as a real browser lays it out: nothing overflows, overlaps, vanishes or is too faint, at any width."""

from __future__ import annotations

from pathlib import Path

import pytest

from conversation_pipeline.report import render
from conversation_pipeline_tests.browser.chromium import broken
from conversation_pipeline_tests.report.days import everything, nothing

pytestmark = pytest.mark.browser

WIDTHS = (320, 390, 600, 768, 1024, 1280, 1920)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_broken_at_any_width(tmp_path: Path, dark: bool) -> None:
    """A day without anything, and one with names without end, huge numbers and every state."""
    found = broken({"nothing": render(nothing()), "everything": render(everything())}, WIDTHS, tmp_path, dark=dark)

    assert len(found) == 2 * len(WIDTHS)
    assert {place: told for place, told in found.items() if told} == {}


FAULTS = {
    "wider than the window": "main { width: 1400px; }",
    "out of the window": ".tiles { position: relative; left: 200px; }",
    "without size": ".marks { display: block; height: 0; }",
    "content wider than its box": ".tile { width: 60px; } .value { white-space: nowrap; }",
    "text out of its card": ".about { margin-left: -80px; }",
    "texts overlap": ".tile .note { margin-top: -30px; }",
    "contrast": ":root { --soft: #b9c2cc; }",
    "plot without marks": ".marks rect { display: none; }",
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    page = render(everything())
    pages = {kind: page.replace("</style>", f"{fault}</style>", 1) for kind, fault in FAULTS.items()}
    return broken(pages, [390], tmp_path_factory.mktemp("faulty"))


@pytest.mark.parametrize("kind", FAULTS)
def test_a_broken_page_is_found_out(faulty: dict[str, list[str]], kind: str) -> None:
    """Each fault that is looked for, put into the page by one line of style."""
    told = faulty[f"{kind} at 390"]

    assert any(one.startswith(f"{kind}:") for one in told), told[:5]
