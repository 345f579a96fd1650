"""Which files are the parts of one export, and where they may lie (bulk-export 4.1)."""

from __future__ import annotations

from datetime import date

import pytest
from pyarrow import fs

from conversation_pipeline import archives
from conversation_pipeline_tests.archives.conftest import entries, table, zipped


@pytest.mark.parametrize("names", [
    ["x_1.zip", "x_2.zip", "x_10.zip"], ["x-01.zip", "x-02.zip"], ["x.part1.zip", "x.part2.zip"],
    ["x (1).zip", "x (2).zip"], ["x_1.csv.gz", "x_2.csv.gz"],
])  # fmt: skip
def test_parts_of_one_export_belong_together_in_order(names):
    """
    The same stem with a number at its end, ordered by that number.
    """
    assert archives.sets(f"in/{name}" for name in reversed(names)) == [
        archives.ArchiveSet("in/x", tuple(f"in/{name}" for name in names))
    ]


def test_exports_of_other_times_are_other_sets():
    """
    A time stamp belongs to the stem.
    """
    found = archives.sets(["E_00D_20261101000000_1.zip", "E_00D_20261108000000_1.zip", "E_20261115000000.zip"])

    assert len(found) == 3


def test_requests_under_one_name_are_told_apart_by_their_days():
    """
    Where the name tells no date: a part without a day is of the last request, a date in the name is enough.
    """
    days = {"x_1.zip": date(2026, 11, 1), "x_2.zip": date(2026, 11, 1), "x_3.zip": date(2026, 11, 8)}
    found = archives.sets([*days, "x_4.zip", "y_20261101_1.zip", "z.zip"], days.get)

    assert [(one.name, len(one.paths)) for one in found] == [
        ("x_2026-11-01", 2), ("x_2026-11-08", 2), ("y_20261101", 1), ("z", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "numbered"), [("x_1.zip", True), ("x.zip", False), ("x_20261101000000.zip", False)])
def test_numbered_parts_may_be_more(name, numbered):
    """
    A name that counts says that others may come.
    """
    [found] = archives.sets([name])

    assert found.numbered is numbered


def test_folders_keep_sets_apart():
    """
    Equal names in two folders are two exports.
    """
    assert len(archives.sets(["a/x_1.zip", "b/x_2.zip"])) == 2


def test_archives_are_read_from_any_arrow_file_system(tmp_path):
    """
    Paths are those of the file system.
    """
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.zip").write_bytes(zipped(("e.csv", table(entries(3)))))
    filesystem = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())

    assert sum(batch.num_rows for batch in archives.read(["in/a.zip"], filesystem=filesystem).batches()) == 3


def test_a_reading_can_be_left_early(tmp_path):
    """
    Nothing is left running or lying about.
    """
    (tmp_path / "a.zip").write_bytes(zipped(*((f"{n}.csv", table(entries(3, first=n * 9))) for n in range(5))))
    batches = archives.read([str(tmp_path / "a.zip")]).batches()
    next(batches)
    batches.close()

    assert list(tmp_path.iterdir()) == [tmp_path / "a.zip"]


def test_a_store_that_fails_is_an_error(tmp_path):
    """
    A file that is not there is no spoilt archive.
    """
    with pytest.raises(OSError, match=r"gone\.zip"):
        list(archives.read([str(tmp_path / "gone.zip")]).batches())
