"""Lake, staging and landing on an object store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from conversation_pipeline.storage import Lake, PublishError, Staging, StorageError, Warehouse
from conversation_pipeline_tests.storage.object_store import ObjectStore, object_store
from conversation_pipeline_tests.storage.things import DAY, ENTRIES, MIDNIGHT, QUEUES, batches, rows

KEY = f"lake/entries/day={DAY}/data.parquet"


@pytest.fixture(scope="module")
def serving() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def store(serving: ObjectStore) -> ObjectStore:
    serving.objects.clear()
    serving.completed.clear()
    return serving


@pytest.fixture
def lake(store: ObjectStore) -> Lake:
    return Lake(store.url("lake"))


def test_a_partition_is_put_in_place_once(store: ObjectStore, lake: Lake) -> None:
    """
    One object, complete at once, and nothing else: no draft, no marker of a folder.
    """
    receipt = lake.replace(ENTRIES, DAY, batches(rows(50)), run_id="r")

    assert store.completed == list(store.objects) == [KEY]
    assert receipt.bytes == len(store.objects[KEY])
    assert lake.receipts(ENTRIES) == [replace(receipt, changed=False)]
    assert lake.partitions(ENTRIES) == [DAY]
    assert lake.read(ENTRIES, DAY).num_rows == 50


def test_the_same_content_is_not_sent_again(store: ObjectStore, lake: Lake) -> None:
    """
    A re-run that finds its content in place leaves the object alone.
    """
    lake.replace(ENTRIES, DAY, batches(rows(50)), run_id="r")

    assert not lake.replace(ENTRIES, DAY, batches(rows(50)[::-1]), run_id="s").changed
    assert store.completed == [KEY]


def test_what_is_refused_is_not_sent(store: ObjectStore, lake: Lake) -> None:
    """
    Other counts than promised: the store never hears of it.
    """
    with pytest.raises(PublishError):
        lake.replace(ENTRIES, DAY, batches(rows(3)), run_id="r", promised=4)

    assert store.objects == {}


def test_an_address_shows_no_secret(lake: Lake) -> None:
    """
    Receipts and errors carry bucket and key, never what the URL held besides.
    """
    receipt = lake.replace(ENTRIES, DAY, batches(rows(1)), run_id="r")

    assert receipt.uri == f"s3://bucket/{KEY}"


def test_a_url_that_cannot_be_opened_shows_no_secret() -> None:
    """
    The setting may hold a key, so the error names its kind only.
    """
    with pytest.raises(StorageError, match="begins with ftp://") as refusal:
        Lake("ftp://made-up-key:made-up-secret@host/lake")

    assert "made-up" not in str(refusal.value)


def test_an_azure_url_needs_its_account() -> None:
    """
    ``az://container/path`` alone does not say where the container is; the error names the setting.
    """
    with pytest.raises(StorageError, match="AZURE_STORAGE_ACCOUNT"):
        Lake("az://container/lake")


def test_the_warehouse_lands_from_an_object_store(lake: Lake, tmp_path: Path) -> None:
    """
    The same tables as from a disk: days as dates, only what changed, without any DuckDB extension.
    """
    lake.replace(ENTRIES, DAY, batches(rows(5)), run_id="r")
    lake.replace(QUEUES, None, [pa.record_batch({"id": ["q"], "label": ["Sales"]})], run_id="r")
    warehouse = Warehouse(tmp_path / "w.duckdb")
    warehouse.land(lake, [ENTRIES, QUEUES])
    lake.replace(ENTRIES, "2026-11-02", batches(rows(3)), run_id="r")

    landing = warehouse.land(lake, [ENTRIES, QUEUES])

    assert landing.applied == {"entries": ("2026-11-02",)}
    with duckdb.connect(str(warehouse.path), read_only=True) as connection:
        told = connection.execute("SELECT day, count(*) FROM entries GROUP BY 1 ORDER BY 1").fetchall()
        assert told == [(date(2026, 11, 1), 5), (date(2026, 11, 2), 3)]
        assert connection.execute("SELECT * FROM queues").fetchall() == [("q", "Sales")]


def test_staging_works_on_an_object_store(store: ObjectStore) -> None:
    """
    Records, pulls and their end, as on a disk.
    """
    staging = Staging(store.url("staging"))
    staged = staging.put("entries", DAY, ["a/b", "2"], b"answer", fetched_at=MIDNIGHT)
    pull = staging.open_pull("entries", DAY, MIDNIGHT)

    assert staging.records("entries", [DAY]) == [staged]
    assert staging.read(staged) == b"answer"
    assert staging.open_pull("entries", DAY, MIDNIGHT + timedelta(hours=1)) == replace(pull, resumed=True)
    staging.close_pull(pull)
    assert [record for record, _ in staging.erase({"a/b"})] == [staged]
    assert staging.records("entries") == []
