"""The helper that drops an export of a simulated org into a folder."""

from __future__ import annotations

import zipfile

import pytest
from click.testing import CliRunner

from conversation_pipeline.cli import main


def drop(http, folder, *more):
    """Run the command against the org."""
    url = str(http.base_url).rstrip("/")
    return CliRunner().invoke(main, ["drop-archive", "--url", url, "--folder", str(folder), *more])


@pytest.mark.parametrize("layout", ["csv", "jsonl", "json_per_conversation"])
def test_an_archive_is_dropped_into_the_folder(org, http, tmp_path, layout):
    """
    Its parts are whole ZIP files, and their paths are told.
    """
    result = drop(http, tmp_path / "archives", "--layout", layout)
    files = sorted((tmp_path / "archives").iterdir())

    assert result.output.split() == [str(file) for file in files]
    assert all(zipfile.is_zipfile(file) for file in files)


def test_it_can_be_dropped_again(org, http, tmp_path):
    """
    The helper does not wait seven days.
    """
    drop(http, tmp_path)

    assert drop(http, tmp_path).exit_code == 0
