"""
Erasure: whom the org has deleted for good leaves the lake and the staging area as well.

The feed is ``conversation_api_log``; the dataset ``erasures`` is the record. What is to go is put on record first, for
the rows that tell whose a conversation was go too; then it is removed; then the record says so. A replay that was
killed is so done again, and what comes back later (a slow run, an old archive) is removed by the next one: each looks
for everybody on record, in the lake and in what was staged since the one before. Replays that run side by side add to
the record what each has found and done; neither writes over the other's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from conversation_pipeline.schemas import Dataset
from conversation_pipeline.schemas.conversations import CONVERSATION_API_LOG, CONVERSATION_PARTICIPANTS, CONVERSATIONS
from conversation_pipeline.schemas.erasures import ERASURES, REMEMBERED_END_USERS
from conversation_pipeline.schemas.messaging import MESSAGING_SESSIONS
from conversation_pipeline.schemas.voice import VOICE_CALLS
from conversation_pipeline.storage.errors import Overtaken, PublishError
from conversation_pipeline.storage.lake import Lake, Receipt
from conversation_pipeline.storage.models import run_model
from conversation_pipeline.storage.staging import Staging

ENTITY_TYPES = ("MessagingEndUser", "Conversation")
"""Whom the org erases. Of anybody else, such as an agent, nothing is removed; it is reported."""

TELLING_COLUMNS = frozenset(
    {
        "id",
        "interaction_id",
        "conversation_id",
        "conversation_ids",
        "conversation_identifier",
        "conversation_identifiers",
        "messaging_session_id",
        "messaging_session_ids",
        "voice_call_id",
        "voice_call_ids",
        "messaging_end_user_id",
        "messaging_end_user_ids",
        "end_user_id",
        "participant_entity_id",
    }
)
"""Columns, of whichever dataset, that tell whose a row is. Agents' work has none: it stays in the org, too."""

# Where it is told whose a conversation was: columns by which a row is found, and columns whose values then go too.
_LINKS: tuple[tuple[Dataset, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        MESSAGING_SESSIONS,
        ("messaging_end_user_id", "conversation_id", "conversation_identifier"),
        ("id", "conversation_id", "conversation_identifier"),
    ),
    (
        VOICE_CALLS,
        ("end_user_id", "conversation_id", "conversation_identifier"),
        ("id", "conversation_id", "conversation_identifier"),
    ),
    (
        REMEMBERED_END_USERS,
        ("end_user_id", "conversation_id", "conversation_identifier"),
        ("id", "conversation_id", "conversation_identifier"),
    ),
    (CONVERSATION_PARTICIPANTS, ("participant_entity_id",), ("conversation_id",)),
    (CONVERSATIONS, ("id", "conversation_identifier"), ("id", "conversation_identifier")),
)
_ATTEMPTS = 10

Partition = str | None


@dataclass(frozen=True)
class Erasure:
    """
    One completed deletion of the org, as a row of ``erasures`` has it.

    Attributes:
        conversations: Identifiers of the conversations that go with it.
        records: Ids of the records that go with it, the requested one included.
        rows: Rows removed from the lake so far, by dataset.
        answers: Staged answers removed so far, by dataset.
        replayed_at: When something was last removed; ``None`` while the replay is not done.
    """

    id: str
    entity_type: str | None
    entity_id: str
    requested_at: datetime | None
    completed_at: datetime | None
    conversations: frozenset[str] = frozenset()
    records: frozenset[str] = frozenset()
    rows: Mapping[str, int] = field(default_factory=dict)
    answers: Mapping[str, int] = field(default_factory=dict)
    replayed_at: datetime | None = None
    run_id: str | None = None

    @property
    def identifiers(self) -> frozenset[str]:
        """Everything by which its rows are known."""
        return self.conversations | self.records


@dataclass(frozen=True)
class Replay:
    """
    What one replay did.

    Attributes:
        receipt: Of the record.
        on_record: Erasures that are on it.
        new: How many of them were not before.
        not_understood: Completed deletions of the log that are of other things, by their type.
        rows: Rows removed from the lake, by dataset.
        files: Files of the lake that were written anew.
        answers: Staged answers removed, by dataset.
    """

    receipt: Receipt
    on_record: int
    new: int
    not_understood: Mapping[str, int]
    rows: Mapping[str, int]
    files: int
    answers: Mapping[str, int]


@dataclass(frozen=True)
class _Removed:
    """One row or staged answer that is gone: whose it was."""

    dataset: str
    partition: Partition
    owners: frozenset[str]


def erased(lake: Lake) -> frozenset[str]:
    """
    Conversation identifiers and record ids of everybody erased, for roads that may still tell of them (an export
    archive, Data Cloud): leave out what holds one. Reads one small file.
    """
    return _together(on_record(lake))


def waiting(lake: Lake) -> list[str]:
    """Completed deletions in the lake's log that are not on record as replayed: ids of the log's rows, sorted."""
    done = {erasure.id for erasure in on_record(lake) if erasure.replayed_at is not None}
    return sorted(it.id for it in completed(lake) if it.entity_type in ENTITY_TYPES and it.id not in done)


def remember(lake: Lake, *, run_id: str) -> None:
    """
    Remember whose the sessions and calls in the lake are, for the time when the org has deleted them.

    Nothing is forgotten but by erasure. To be called before entries of new sessions are landed.
    """
    with lake.exclusive(REMEMBERED_END_USERS):
        _remember(lake, run_id)


def _remember(lake: Lake, run_id: str) -> None:
    inputs = {
        it.name: lake.dataset(it) for it in (MESSAGING_SESSIONS, VOICE_CALLS, CONVERSATIONS, REMEMBERED_END_USERS)
    }
    with run_model(REMEMBERED_END_USERS.name, inputs, {}) as batches:
        news = batches.read_all().cast(REMEMBERED_END_USERS.schema)
    days = news["created_date"].cast(pa.date32())
    for day in sorted(days.unique().to_pylist()):
        before = lake.read(REMEMBERED_END_USERS, day.isoformat())
        now = news.filter(pc.equal(days, day))
        others = before.filter(pc.invert(pc.is_in(before["id"], value_set=now["id"].combine_chunks())))
        rows = pa.concat_tables([others, now])
        lake.replace(REMEMBERED_END_USERS, day.isoformat(), rows.to_batches(), run_id=run_id)


def on_record(lake: Lake) -> list[Erasure]:
    """The record of erasures, by id."""
    return [_from_row(row) for row in lake.read(ERASURES, None).to_pylist()]


def completed(lake: Lake) -> list[Erasure]:
    """Deletions that the lake's log has as completed, by id; an action of another name is no deletion."""
    done = pc.field("status") == "Completed"
    rows = lake.dataset(CONVERSATION_API_LOG).to_table(filter=done).sort_by("id").to_pylist()
    return [
        Erasure(
            id=row["id"],
            entity_type=row["requested_entity_type"],
            entity_id=row["requested_entity_identifier"],
            requested_at=row["requested_date"],
            completed_at=row["system_modstamp"],
            records=frozenset({row["requested_entity_identifier"]}),
        )
        for row in rows
        if row["requested_entity_identifier"] and row["action"] in ("Delete", None)
    ]


def telling_columns(dataset: Dataset) -> tuple[str, ...]:
    """The columns that tell whose a row is; none in the record of erasures itself."""
    if dataset.name == ERASURES.name:
        return ()
    return tuple(column.name for column in dataset.fields if column.name in TELLING_COLUMNS)


def replay(lake: Lake, staging: Staging, datasets: Sequence[Dataset], *, run_id: str) -> Replay:
    """
    Remove everybody whom the org has erased, now or earlier, from the lake's files and the staging area.

    Args:
        datasets: All that the lake holds.

    Raises:
        StorageError: A file is torn or kept changing. What is to go is on record; run it again.
    """
    remember(lake, run_id=run_id)
    before = on_record(lake)
    known = {erasure.id: erasure for erasure in before}
    log = completed(lake)
    new = [it for it in log if it.entity_type in ENTITY_TYPES and it.id not in known]
    grown = _with_what_goes(lake, [*before, *new])
    found = [it if it == known.get(it.id) else replace(it, replayed_at=None) for it in grown]
    planned, _ = _put_on_record(lake, before, found, run_id)
    searched = (*datasets, REMEMBERED_END_USERS)
    rows = [one for dataset in searched for one in _remove(lake, dataset, _together(planned), run_id)]
    due = [it for it in planned if it.replayed_at is None or _of(it, rows)]
    staged = staging.erase(_together(planned), again=not due)
    answers = [_Removed(it.dataset, it.day, owners) for it, owners in staged]
    done = [_done(it, rows, answers, run_id) if it in due or _of(it, answers) else it for it in planned]
    _, receipt = _put_on_record(lake, planned, done, run_id)
    return Replay(
        receipt=receipt,
        on_record=receipt.rows,
        new=len(new),
        not_understood=Counter(str(it.entity_type) for it in log if it.entity_type not in ENTITY_TYPES),
        rows=_by_dataset(rows),
        files=len({(row.dataset, row.partition) for row in rows}),
        answers=_by_dataset(answers),
    )


def _with_what_goes(lake: Lake, erasures: Sequence[Erasure]) -> list[Erasure]:
    """The erasures with their conversations, and the records of these, as far as the lake tells; a conversation goes
    as a whole, whoever else took part in it."""
    known = list(erasures)
    while True:
        links = list(_links(lake, _together(known)))
        grown = [_grown(erasure, links) for erasure in known]
        if _together(grown) == _together(known):
            return grown
        known = grown


def _links(lake: Lake, identifiers: Collection[str]) -> Iterator[tuple[frozenset[str], frozenset[str], str | None]]:
    """Rows that hold one of the identifiers: by what they are found, the record ids and the conversation they name."""
    if not identifiers:
        return
    wanted = pa.array(sorted(identifiers), pa.string())
    for dataset, found_by, names in _LINKS:
        any_of = reduce(or_, [pc.field(column).isin(wanted) for column in found_by])
        columns = sorted({*found_by, *names})
        for row in lake.dataset(dataset).to_table(columns=columns, filter=any_of).to_pylist():
            ids = {row[name] for name in names if name != "conversation_identifier"}
            yield (
                frozenset(row[name] for name in found_by) - {None},
                frozenset(ids) - {None},
                row.get("conversation_identifier"),
            )


def _grown(erasure: Erasure, links: Iterable[tuple[frozenset[str], frozenset[str], str | None]]) -> Erasure:
    own = [(records, conversation) for found_by, records, conversation in links if found_by & erasure.identifiers]
    return replace(
        erasure,
        conversations=erasure.conversations | {conversation for _, conversation in own if conversation is not None},
        records=erasure.records.union(*(records for records, _ in own)),
    )


def _remove(lake: Lake, dataset: Dataset, identifiers: Collection[str], run_id: str) -> Iterator[_Removed]:
    """Write the partitions that hold one of the identifiers anew, without those rows; no other file is touched."""
    columns = telling_columns(dataset)
    if not columns or not identifiers:
        return
    wanted = pa.array(sorted(identifiers), pa.string())
    for partition in _partitions_holding(lake, dataset, columns, wanted):
        for _ in range(_ATTEMPTS):
            try:
                owners = _write_without(lake, dataset, partition, columns, wanted, run_id)
            except Overtaken:
                continue
            yield from (_Removed(dataset.name, partition, one) for one in owners)
            break
        else:
            raise PublishError(f"{dataset.name}, partition {partition}, kept changing; materialize erasures again")


def _partitions_holding(lake: Lake, dataset: Dataset, columns: Sequence[str], wanted: pa.Array) -> list[Partition]:
    if not dataset.partitioned:
        return [None]
    created = str(dataset.partition_by)
    days: set[str] = set()
    for batch in lake.dataset(dataset).to_batches(columns=sorted({*columns, created})):
        held = batch.column(created).filter(_holding(batch, columns, wanted))
        days.update(day.isoformat() for day in held.cast(pa.date32()).unique().to_pylist())
    return [*sorted(days)]


def _write_without(
    lake: Lake, dataset: Dataset, partition: Partition, columns: Sequence[str], wanted: pa.Array, run_id: str
) -> list[frozenset[str]]:
    """Replace one file; returns whose the rows were that are gone."""
    there = lake.receipt(dataset, partition)
    if there is None:
        return []
    everybody = frozenset(wanted.to_pylist())
    scan = lake.dataset(dataset, None if partition is None else [partition])
    owners = [
        _identifiers_in(row) & everybody
        for batch in scan.to_batches(columns=list(columns))
        for row in batch.filter(_holding(batch, columns, wanted)).to_pylist()
    ]
    if not owners:
        return []

    def others() -> Iterator[pa.RecordBatch]:
        for batch in scan.to_batches():
            yield batch.filter(pc.invert(_holding(batch, columns, wanted)))

    removed = int(there.provenance.get("erased_rows", 0)) + len(owners)
    provenance = {**there.provenance, "erased_rows": str(removed)}
    # What the service promised was with the rows that are gone.
    lake.replace(dataset, partition, others(), run_id=run_id, road=there.road, provenance=provenance, over=there)
    return owners


def _holding(batch: pa.RecordBatch, columns: Sequence[str], wanted: pa.Array) -> pa.Array:
    """Which rows hold one of the identifiers, in a column or in a list."""
    held = np.zeros(batch.num_rows, dtype=bool)
    for name in columns:
        column = batch.column(name)
        if pa.types.is_list(column.type):
            inside = pc.is_in(pc.list_flatten(column), value_set=wanted)
            held[pc.list_parent_indices(column).filter(inside).to_numpy(zero_copy_only=False)] = True
        else:
            held |= pc.is_in(column, value_set=wanted).to_numpy(zero_copy_only=False)
    return pa.array(held)


def _identifiers_in(row: Mapping[str, Any]) -> frozenset[str]:
    return frozenset().union(*(value if isinstance(value, list) else [value] for value in row.values() if value))


def _done(erasure: Erasure, rows: Iterable[_Removed], answers: Iterable[_Removed], run_id: str) -> Erasure:
    return replace(
        erasure,
        rows=_sum(erasure.rows, _by_dataset(_of(erasure, rows))),
        answers=_sum(erasure.answers, _by_dataset(_of(erasure, answers))),
        replayed_at=datetime.now(UTC),
        run_id=run_id,
    )


def _of(erasure: Erasure, removed: Iterable[_Removed]) -> list[_Removed]:
    return [one for one in removed if one.owners & erasure.identifiers]


def _by_dataset(removed: Iterable[_Removed]) -> dict[str, int]:
    return dict(sorted(Counter(one.dataset for one in removed).items()))


def _sum(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted((Counter(before) + Counter(now)).items()))


def _together(erasures: Iterable[Erasure]) -> frozenset[str]:
    return frozenset().union(*(erasure.identifiers for erasure in erasures))


def _put_on_record(
    lake: Lake, before: Iterable[Erasure], now: Sequence[Erasure], run_id: str
) -> tuple[list[Erasure], Receipt]:
    """
    Add to the record what has changed; a replay beside this one may have written it meanwhile.

    Args:
        before: The erasures as they were when this replay read or wrote them last.

    Returns:
        The erasures as they are on record now, and the record's receipt.

    Raises:
        PublishError: Another machine wrote it at that moment. Run it again.
    """
    known = {erasure.id: erasure for erasure in before}
    with lake.exclusive(ERASURES):
        there = lake.receipt(ERASURES, None)
        record = {erasure.id: erasure for erasure in on_record(lake)}
        record |= {it.id: _merged(known.get(it.id), it, record.get(it.id)) for it in now}
        rows = pa.RecordBatch.from_pylist([_to_row(erasure) for erasure in record.values()], schema=ERASURES.schema)
        receipt = lake.replace(ERASURES, None, [rows], run_id=run_id, over=there)
    return [record[it.id] for it in now], receipt


def _merged(before: Erasure | None, ours: Erasure, theirs: Erasure | None) -> Erasure:
    """What two replays say of one erasure: all that either found, and what both removed."""
    if theirs is None or theirs == before:
        return ours
    told = before or replace(ours, rows={}, answers={})
    both = replace(
        ours,
        conversations=ours.conversations | theirs.conversations,
        records=ours.records | theirs.records,
        rows=_sum(theirs.rows, Counter(ours.rows) - Counter(told.rows)),
        answers=_sum(theirs.answers, Counter(ours.answers) - Counter(told.answers)),
        replayed_at=None,
    )
    # It is done when somebody has looked for all of it.
    done = [it for it in (theirs, ours) if it.replayed_at is not None and it.identifiers == both.identifiers]
    return replace(both, replayed_at=done[-1].replayed_at, run_id=done[-1].run_id) if done else both


def _to_row(erasure: Erasure) -> dict[str, Any]:
    return {
        "id": erasure.id,
        "requested_entity_type": erasure.entity_type,
        "requested_entity_id": erasure.entity_id,
        "requested_date": erasure.requested_at,
        "completed_date": erasure.completed_at,
        "conversation_identifiers": sorted(erasure.conversations),
        "record_ids": sorted(erasure.records),
        "rows_removed": [{"dataset": name, "count": count} for name, count in erasure.rows.items()],
        "answers_removed": [{"dataset": name, "count": count} for name, count in erasure.answers.items()],
        "replayed_at": erasure.replayed_at,
        "run_id": erasure.run_id,
    }


def _from_row(row: Mapping[str, Any]) -> Erasure:
    return Erasure(
        id=row["id"],
        entity_type=row["requested_entity_type"],
        entity_id=row["requested_entity_id"],
        requested_at=row["requested_date"],
        completed_at=row["completed_date"],
        conversations=frozenset(row["conversation_identifiers"]),
        records=frozenset(row["record_ids"]),
        rows={one["dataset"]: one["count"] for one in row["rows_removed"]},
        answers={one["dataset"]: one["count"] for one in row["answers_removed"]},
        replayed_at=row["replayed_at"],
        run_id=row["run_id"],
    )
