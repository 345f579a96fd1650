"""The landing of a model's day, while runs beside it land what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from conversation_pipeline.defs.assets.common import land_model
from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, MESSAGES
from conversation_pipeline.storage import Lake

DAY = "2026-11-18"


def entry(text: str) -> dict[str, Any]:
    """A message; without a text, what is none."""
    kind = {"entry_type": "Message", "message_type": "StaticContentMessage", "format_type": "Text", "text": text}
    return {
        "conversation_identifier": "c", "entry_identifier": f"entry {text}", "sender_role": "Agent",
        "transcripted_timestamp": datetime(2026, 11, 18, 12, tzinfo=UTC),
        **(kind if text else {"entry_type": "RoutingResult"}),
    }  # fmt: skip


class Beside:
    """A model's input, and a run beside the model's own, which lands it anew each time the model has been made."""

    def __init__(self, lake: Lake, landings: Sequence[Sequence[str]]) -> None:
        self.lake = lake
        self.landings = iter(landings)
        self.looks = 0
        self._land()

    def inputs(self) -> dict[str, Any]:
        self.looks += 1
        if self.looks % 2 == 0:  # the model looks before it is made, and after
            self._land()
        return {"conversation_entries": self.lake.dataset(CONVERSATION_ENTRIES, [DAY])}

    def _land(self) -> None:
        texts = next(self.landings, None)
        if texts is not None:
            rows = pa.RecordBatch.from_pylist([entry(text) for text in texts], CONVERSATION_ENTRIES.schema)
            self.lake.replace(CONVERSATION_ENTRIES, DAY, [rows], run_id="beside")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def landed(lake: Lake, beside: Beside) -> tuple[list[str], Any]:
    """The texts that stand in the lake in the end, and whether the landing says that it changed the day."""
    told = land_model(MESSAGES, DAY, beside.inputs, lake=lake, run_id="model")
    return sorted(lake.read(MESSAGES, DAY)["text"].to_pylist()), told["changed"]


def test_a_model_whose_input_was_landed_meanwhile_is_made_again(lake: Lake) -> None:
    """What came after it had read is in it, and does not pass for read."""
    texts, _ = landed(lake, Beside(lake, [["one"], ["one", "two"]]))

    assert texts == ["one", "two"]


def test_a_day_that_was_changed_at_first_is_told_as_changed(lake: Lake) -> None:
    """The second making found it as it was: another entry had come that is no message."""
    land_model(MESSAGES, DAY, Beside(lake, [["one"]]).inputs, lake=lake, run_id="model")

    _, changed = landed(lake, Beside(lake, [["one", "two"], ["two", "one", ""]]))

    assert changed is True


def test_a_model_is_made_once_where_nothing_was_landed(lake: Lake) -> None:
    """It looks twice, before and after."""
    beside = Beside(lake, [["one"]])
    landed(lake, beside)

    assert beside.looks == 2


def test_a_model_ends_where_runs_beside_it_never_do(lake: Lake) -> None:
    """A live day is landed every few minutes; the next run makes it of what came since."""
    beside = Beside(lake, [[str(number)] for number in range(1_000)])
    landed(lake, beside)

    assert beside.looks <= 20
