"""Staging: raw answers kept as they came, found again by a listing, and gone when they must be."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conversation_pipeline.kill_points import KillPoint
from conversation_pipeline.storage import Staging, StagingError, StorageError
from conversation_pipeline_tests.storage.things import DAY, MIDNIGHT, run, stage

parts = st.text(st.characters(exclude_categories=["Cs"]), max_size=255)


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(str(tmp_path / "staging"))


def files(tmp_path: Path) -> list[str]:
    return [file.name for file in (tmp_path / "staging").rglob("*") if file.is_file()]


@given(label=st.lists(parts, min_size=1, max_size=3), body=st.binary(max_size=2000), age=st.integers(0, 10**12))
@example(label=["a~b", "~", "c"], body=b"", age=0)
def test_any_answer_under_any_label_comes_back(
    tmp_path_factory: pytest.TempPathFactory, label: list[str], body: bytes, age: int
) -> None:
    """
    Whatever a conversation identifier looks like and whatever came back, the listing finds it and reading
    gives it.
    """
    staging = Staging(str(tmp_path_factory.mktemp("staging")))
    fetched_at = MIDNIGHT - timedelta(milliseconds=age)

    staged = staging.put("entries", DAY, label, body, fetched_at=fetched_at)

    assert staging.records("entries", [DAY]) == [staged]
    assert staged.label == tuple(staging.encode(part) for part in label)
    assert staged.fetched_at == fetched_at
    assert staging.read(staged) == body


@given(parts, parts)
def test_two_labels_are_equal_only_if_their_parts_are(one: str, other: str) -> None:
    """
    Comparing encoded parts is comparing the parts, however long or odd.
    """
    encode = Staging("unused").encode

    assert (encode(one) == encode(other)) == (one == other)


def test_a_label_is_safe_as_a_file_name(staging: Staging) -> None:
    """
    Dots, slashes, separators and whole essays neither leave the folder nor outgrow a file name.
    """
    labels = [["../../etc/passwd"], [".hidden"], ["a~b", "c"], ["x" * 255, "é" * 255, "z" * 255], [""]]

    names = [staging.put("entries", DAY, label, b"", fetched_at=MIDNIGHT).name for label in labels]

    assert all(name.count("/") == 2 and len(name.rsplit("/")[-1]) <= 255 for name in names)
    assert len(staging.records("entries", [DAY])) == len(labels)


@pytest.mark.parametrize("label", [[], ["x" * 64] * 4])
def test_a_label_that_fits_no_file_name_is_refused(staging: Staging, label: list[str]) -> None:
    """
    No part at all, or too many of them, is a mistake of ours that shows at once.
    """
    with pytest.raises(StagingError, match="one to three parts"):
        staging.put("entries", DAY, label, b"", fetched_at=MIDNIGHT)


def test_records_are_listed_by_day_label_and_time(staging: Staging) -> None:
    """
    Only the days and the dataset asked for, in an order that does not depend on the disk.
    """
    later = MIDNIGHT + timedelta(hours=1)
    for dataset, day, label, fetched_at in [
        ("entries", "2026-11-02", "a", MIDNIGHT),
        ("entries", "2026-11-01", "b", MIDNIGHT),
        ("entries", "2026-11-01", "a", later),
        ("entries", "2026-11-01", "a", MIDNIGHT),
        ("entries", "2026-11-03", "a", MIDNIGHT),
        ("calls", "2026-11-01", "a", MIDNIGHT),
    ]:
        staging.put(dataset, day, [label], b"x", fetched_at=fetched_at)

    listed = staging.records("entries", ["2026-11-02", "2026-11-01"])

    assert [(record.day, record.label[0], record.fetched_at) for record in listed] == [
        ("2026-11-01", "a", MIDNIGHT),
        ("2026-11-01", "a", later),
        ("2026-11-01", "b", MIDNIGHT),
        ("2026-11-02", "a", MIDNIGHT),
    ]


def test_the_same_answer_is_one_record(staging: Staging) -> None:
    """
    A step that is repeated stages nothing twice.
    """
    one = staging.put("entries", DAY, ["c1"], b"answer", fetched_at=MIDNIGHT)
    two = staging.put("entries", DAY, ["c1"], b"answer", fetched_at=MIDNIGHT)

    assert staging.records("entries", [DAY]) == [one] == [two]


def test_answers_are_compressed(staging: Staging, tmp_path: Path) -> None:
    """
    Raw answers are kept for long, so they are small.
    """
    staged = staging.put("entries", DAY, ["c1"], b'{"text": "hello"}' * 10_000, fetched_at=MIDNIGHT)

    assert (tmp_path / "staging" / staged.name).stat().st_size < 1000


def test_only_the_owner_may_read_what_customers_said(staging: Staging, tmp_path: Path) -> None:
    """
    Files are 0600 and folders 0700, whatever the process's mask.
    """
    old = os.umask(0)
    try:
        staging.put("entries", DAY, ["c1"], b"x", fetched_at=MIDNIGHT)
        staging.open_pull("entries", DAY, MIDNIGHT)
    finally:
        os.umask(old)

    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in (tmp_path / "staging").rglob("*")}
    assert modes == {True: 0o700, False: 0o600}
    assert (tmp_path / "staging").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [lambda whole: whole[:-3], lambda whole: whole[:-1] + b"!", lambda whole: b""])
def test_a_torn_record_is_told_and_can_be_discarded(staging: Staging, tmp_path: Path, damage: object) -> None:
    """
    Cut, changed or empty: reading says so and what to do; once discarded it is asked for again.
    """
    staged = staging.put("entries", DAY, ["c1"], b"what was said" * 9, fetched_at=MIDNIGHT)
    file = tmp_path / "staging" / staged.name
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]

    with pytest.raises(StagingError, match="discard it, and the next run asks for it again"):
        staging.read(staged)

    staging.discard(staged)
    assert staging.records("entries", [DAY]) == []


def test_a_record_that_is_gone_is_told(staging: Staging) -> None:
    """
    Swept between listing and reading: the run is told to ask for it again.
    """
    staged = staging.put("entries", DAY, ["c1"], b"x", fetched_at=MIDNIGHT)
    staging.discard(staged)

    with pytest.raises(StagingError, match="is gone"):
        staging.read(staged)


def test_a_killed_run_leaves_no_half_record(staging: Staging, tmp_path: Path) -> None:
    """
    Killed between writing and naming: nothing is listed, and the next run stages the answer whole.
    """
    assert run(stage, tmp_path, KillPoint.STAGING_WRITTEN)[0] == -9

    assert staging.records("entries", [DAY]) == []
    stage(tmp_path)
    assert [staging.read(record) for record in staging.records("entries", [DAY])] == [b"answer"]


def test_a_pull_that_was_left_open_is_resumed(staging: Staging) -> None:
    """
    The next run learns when the killed one began, so that what was fetched since then is not asked for again.
    """
    began = MIDNIGHT + timedelta(microseconds=1999)
    first = staging.open_pull("entries", DAY, began)
    record = staging.put("entries", DAY, ["c1"], b"x", fetched_at=began)

    second = staging.open_pull("entries", DAY, began + timedelta(hours=1))

    assert (first.resumed, second.resumed) == (False, True)
    assert second.started_at == first.started_at <= record.fetched_at


def test_a_pull_that_was_closed_is_over(staging: Staging) -> None:
    """
    After a partition is published, the next run begins anew; closing twice does no harm.
    """
    pull = staging.open_pull("entries", DAY, MIDNIGHT)
    staging.close_pull(pull)
    staging.close_pull(pull)

    later = staging.open_pull("entries", DAY, MIDNIGHT + timedelta(hours=1))

    assert (later.resumed, later.started_at) == (False, MIDNIGHT + timedelta(hours=1))


def test_pulls_of_other_partitions_are_their_own(staging: Staging) -> None:
    """
    An open pull of one day or dataset says nothing about another.
    """
    staging.open_pull("entries", DAY, MIDNIGHT)

    assert not staging.open_pull("entries", "2026-11-02", MIDNIGHT).resumed
    assert not staging.open_pull("calls", DAY, MIDNIGHT).resumed


def test_records_older_than_their_keeping_are_swept(staging: Staging, tmp_path: Path) -> None:
    """
    Retention counts from when an answer was fetched; drafts and pulls of long ago go with it, young ones
    stay.
    """
    now = datetime.now(UTC)
    staging.put("entries", DAY, ["old"], b"x", fetched_at=now - timedelta(days=31))
    young = staging.put("entries", DAY, ["young"], b"x", fetched_at=now - timedelta(days=29))
    staging.open_pull("entries", DAY, now - timedelta(days=31))
    left = tmp_path / "staging" / "entries" / f"day={DAY}" / ".left.tmp"
    left.touch()
    os.utime(left, (0, 0))

    assert staging.sweep(now, timedelta(days=30)) == 3

    assert files(tmp_path) == [young.name.rsplit("/")[-1]]


def test_a_pull_that_ends_during_a_sweep_is_passed_over(staging: Staging, tmp_path: Path) -> None:
    """
    Other runs close their pulls while a sweep goes on: a marker that is gone when its turn comes is no error.
    """
    staging.open_pull("entries", DAY, MIDNIGHT)
    folder = tmp_path / "staging" / "entries" / f"day={DAY}"
    stop = threading.Event()

    def close_and_open() -> None:
        while not stop.is_set():
            staging.close_pull(staging.open_pull("entries", DAY, MIDNIGHT))

    other = threading.Thread(target=close_and_open)
    other.start()
    try:
        swept = [staging.sweep(MIDNIGHT, timedelta(days=30)) for _ in range(200)]
    finally:
        stop.set()
        other.join()

    assert sum(swept) == 0
    assert folder.is_dir()


def test_erasure_removes_a_conversation_on_every_day(staging: Staging) -> None:
    """
    Every record whose label names the conversation goes; one that only begins alike stays.
    """
    for day, label in [("2026-11-01", ["c1"]), ("2026-11-02", ["page", "c1"]), ("2026-11-02", ["c11"])]:
        staging.put("entries", day, label, b"x", fetched_at=MIDNIGHT)

    removed = staging.erase({"c1"})

    assert [(record.day, held) for record, held in removed] == [("2026-11-01", {"c1"}), ("2026-11-02", {"c1"})]
    assert [record.label for record in staging.records("entries", ["2026-11-01", "2026-11-02"])] == [("c11",)]


@pytest.mark.parametrize(
    "identifier", ["0Mw000000000001AAA", "a1a1a1a1-0000-4000-8000-000000000001", "id of/any \u00e4"]
)
def test_erasure_removes_answers_that_name_it(staging: Staging, identifier: str) -> None:
    """
    Whatever dataset it was asked for and whoever else is on the page.
    """
    staging.put(
        "sessions", DAY, ["page"], f'[{{"Url": "/x/{identifier}", "Id": "other"}}]'.encode(), fetched_at=MIDNIGHT
    )
    other = staging.put("calls", DAY, ["page"], f'[{{"Id": "X{identifier}"}}]'.encode()[:20], fetched_at=MIDNIGHT)

    removed = staging.erase({identifier})

    assert [(record.dataset, held) for record, held in removed] == [("sessions", {identifier})]
    assert staging.records("calls", [DAY]) == [other]


def test_erasing_again_opens_what_was_written_since(staging: Staging, tmp_path: Path) -> None:
    """
    Bodies that were searched for the same identifiers long before the last search stay closed; labels cost nothing.
    """
    bodies, label = (staging.put("entries", DAY, [name], b"c1", fetched_at=MIDNIGHT) for name in ("old", "c1"))
    staging.erase({"nobody"})
    for record in (bodies, label):
        os.utime(tmp_path / "staging" / record.name, (0, 0))
    since = staging.put("entries", DAY, ["new"], b'"c1 "', fetched_at=MIDNIGHT)

    removed = staging.erase({"c1"}, again=True)

    assert [record for record, _ in removed] == [label, since]


def test_erasure_removes_what_nobody_can_read(staging: Staging, tmp_path: Path) -> None:
    """
    A torn record may hold anybody's words, and is of no use.
    """
    torn = staging.put("entries", DAY, ["page"], b"x" * 1000, fetched_at=MIDNIGHT)
    file = tmp_path / "staging" / torn.name
    file.write_bytes(file.read_bytes()[:12])

    staging.erase({"c1"})

    assert not file.exists()


@pytest.mark.parametrize("day", ["2026-11-1", "../2026-11-01", ""])
def test_a_day_is_a_day(staging: Staging, day: str) -> None:
    """
    What is no UTC day, written YYYY-MM-DD, never becomes a folder.
    """
    with pytest.raises(StorageError, match="YYYY-MM-DD"):
        staging.put("entries", day, ["c1"], b"x", fetched_at=MIDNIGHT)


def test_an_arrow_stream_is_erased_by_what_stands_in_it(staging: Staging) -> None:
    """
    Texts of an Arrow column stand one after another, so no identifier has an end there; it is found all the same.
    """
    sink = pa.BufferOutputStream()
    table = pa.table({"id": ["0889229a-7d52-4bdb-a8fe-e59a85060eb9", "359961f2-b6ce-4be5-af64-4c46f93b5161"]})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    staging.put("entries", DAY, ["q", "0"], bytes(sink.getvalue()), fetched_at=MIDNIGHT)

    [(_, held)] = staging.erase(["359961f2-b6ce-4be5-af64-4c46f93b5161"])

    assert held == {"359961f2-b6ce-4be5-af64-4c46f93b5161"}
