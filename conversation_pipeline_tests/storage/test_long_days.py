"""A long day is united a range of conversations at a time: the rows are those of all at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from conversation_pipeline.schemas.conversations import CONVERSATION_ENTRIES, CONVERSATIONS, ENTRY_CONFLICTS
from conversation_pipeline.storage.models import run_model
from conversation_pipeline_tests.storage.tellings import NOON, ROADS, Row, model_inputs, said, uid

RECORD = "0dwAA0000000001AAA"
"""A conversation that Data Cloud knows by its record, sorted before all others."""


def told() -> Iterator[Row]:
    """Forty conversations of three entries: on all roads, redacted in one, unnamed in one, in other words in one."""
    for conversation in range(40):
        name = {"conversation_identifier": f"{conversation:02}-c"}
        for place in range(3):
            entry = uid(100 * conversation + place)
            yield said("conversation_data", entry, f"text {place}", second=10 * place, **name)
            cloud = {"conversation_identifier": RECORD} if conversation == 33 else name
            yield said("data_cloud", entry, f"text {place}", second=10 * place, **cloud)
            redacted = conversation == 20 and place == 1
            yield said("connect", entry, "***" if redacted else f"text {place}", second=10 * place, read=9, **name)
            unnamed = conversation == 10 and place == 2
            archived = f"unnamed-{conversation:032}" if unnamed else entry
            yield said("archive", archived, f"text {place}", second=10 * place, modality=f"{conversation % 2}", **name)


def in_files(inputs: dict[str, Any], folder: Path, rows_a_group: int) -> dict[str, Any]:
    """The roads' tellings as files of the lake are: in the order of their key, in row groups."""
    roads = {}
    for dataset in ROADS.values():
        rows = inputs[dataset.name].sort_by([(name, "ascending") for name in dataset.key])
        pq.write_table(rows, folder / f"{dataset.name}.parquet", row_group_size=rows_a_group)
        roads[dataset.name] = pads.dataset(folder / f"{dataset.name}.parquet", schema=dataset.schema)
    return inputs | roads


def made(name: str, inputs: dict[str, Any], key: tuple[str, ...]) -> pa.Table:
    with run_model(name, inputs, {}) as rows:
        return rows.read_all().sort_by([(column, "ascending") for column in key])


@pytest.mark.parametrize("dataset", [CONVERSATION_ENTRIES, ENTRY_CONFLICTS], ids=lambda dataset: dataset.name)
@pytest.mark.parametrize("rows_a_group", [1, 4, 7, 100_000])
def test_ranges_together_give_what_all_at_once_gives(tmp_path: Path, dataset: Any, rows_a_group: int) -> None:
    """Whether a range begins with a conversation or within one."""
    known = {"id": RECORD, "conversation_identifier": "33-c", "created_date": NOON}
    inputs = model_inputs(list(told()), {CONVERSATIONS.name: [known]})

    at_once = made(dataset.name, inputs, dataset.key)
    by_range = made(dataset.name, in_files(inputs, tmp_path, rows_a_group), dataset.key)

    assert at_once.num_rows > 0
    assert by_range.equals(at_once)


def test_roads_that_are_empty_give_no_rows(tmp_path: Path) -> None:
    """A day on which nobody spoke is a file without row groups."""
    inputs = in_files(model_inputs([], {}), tmp_path, 10)

    assert made(CONVERSATION_ENTRIES.name, inputs, CONVERSATION_ENTRIES.key).num_rows == 0
