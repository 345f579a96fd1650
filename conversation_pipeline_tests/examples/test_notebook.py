"""``examples/notebook.ipynb``: executed by Jupyter's own client, on a lake out of the simulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from conversation_pipeline.schemas.conversations import TRANSCRIPTS
from conversation_pipeline_tests.conftest import Project
from conversation_pipeline_tests.examples.conftest import EXAMPLES

pytestmark = pytest.mark.examples

JUPYTER_EXECUTE = Path(sys.executable).with_name("jupyter-execute")
NOTEBOOK = EXAMPLES / "notebook.ipynb"
OUTPUTS = ["text/html", "image/png", "image/png", "image/png", "text/html"]
"""What a reader sees: rows a day; response time, channel mix, containment; a transcript."""

Cell = dict[str, Any]


def outputs(notebook: Path) -> list[Cell]:
    cells = json.loads(notebook.read_text())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def shown(output: Cell) -> str:
    """The richest form of an output."""
    return next((form for form in ("image/png", "text/html") if form in output.get("data", {})), output["output_type"])


@pytest.fixture(scope="module")
def executed(read: Project, tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    """What the notebook's cells gave."""
    folder = tmp_path_factory.mktemp("notebook")
    result = folder / "executed.ipynb"
    environment = os.environ | {
        "CONVERSATION_LAKE": read.environment["CONVERSATION_LAKE"],
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
    }
    command = [str(JUPYTER_EXECUTE), str(NOTEBOOK), f"--output={result}", "--timeout=90"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert ended.returncode == 0, ended.stderr
    return outputs(result)


def test_every_cell_shows_what_it_should(executed: list[Cell]) -> None:
    """From top to bottom: a table, three plots, a conversation; no warning and nothing else."""
    assert [shown(output) for output in executed] == OUTPUTS


def test_the_table_counts_the_lake(read: Project, executed: list[Cell]) -> None:
    """Each day stands there with its number of sessions and calls."""
    table = "".join(executed[0]["data"]["text/html"])

    for day in read.lake.partitions(TRANSCRIPTS):
        rows = read.lake.read(TRANSCRIPTS, day).num_rows
        assert f"<td>{day}</td>\n      <td>{rows}</td>" in table


def test_a_whole_transcript_is_on_the_page(read: Project, executed: list[Cell]) -> None:
    """The conversation shown is one of the lake: all that was said, in order."""
    page = unescape("".join(executed[-1]["data"]["text/html"]).replace("<br>", "\n"))
    transcripts = read.lake.dataset(TRANSCRIPTS).to_table().to_pylist()

    complete = []
    for transcript in transcripts:
        places = [page.find(f"{turn['sent_at']:%H:%M:%S}") for turn in transcript["turns"]]
        told = all(turn["text"] in page for turn in transcript["turns"])
        complete.append(told and -1 not in places and places == sorted(places) and len(places) >= 8)
    assert complete.count(True) == 1


def test_what_is_committed_is_small_and_whole() -> None:
    """The notebook in the repository shows the same outputs to who only looks, in less than 200 KB."""
    committed = outputs(NOTEBOOK)

    assert [shown(output) for output in committed] == OUTPUTS
    assert NOTEBOOK.stat().st_size < 200_000
