"""jsforce, from npm, against the simulator: one script asks, the tests look at its answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.strangers,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not installed"),
    pytest.mark.timeout(300),
]

JSFORCE = "jsforce@3.10.16"
SESSIONS = "SELECT Id, Status, PreviewDetails FROM MessagingSession"


@pytest.fixture(scope="module")
def answers(plain, home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script was told."""
    folder = tmp_path_factory.mktemp("jsforce")
    npm = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", JSFORCE]
    subprocess.run(npm, check=True, timeout=240)
    script = shutil.copy(home / "jsforce.mjs", folder)
    asked = [plain.url, plain.client["client_id"], plain.client["client_secret"], SESSIONS]
    told = subprocess.run(["node", script, *asked], capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


def test_it_logs_in_by_client_credentials(answers, plain):
    """
    The token's `id` tells the organization, identity the user.
    """
    assert answers["organization"].startswith("00D")
    assert answers["username"] == plain.client["username"]


def test_a_query_answers_its_first_page(answers, plain):
    """
    2,000 rows of all.
    """
    assert answers["first"] == {"total": len(plain.ids("MessagingSession")), "done": False, "rows": 2000}


def test_auto_fetch_follows_every_page(answers, plain):
    """
    Each row once.
    """
    assert sorted(answers["fetched"]) == plain.ids("MessagingSession")


def test_scan_all_brings_deleted_rows(answers, plain):
    """
    queryAll, to the last page.
    """
    assert sorted(answers["everything"]) == plain.ids("MessagingSession", deleted=True)


def test_parents_and_conditions_work(answers):
    """
    Owner.Name, and the query that sobject().find() writes.
    """
    assert set(answers["owner"]) == {"attributes", "Name", "Type"}
    assert answers["found"] == ["Ended"] * 3


def test_objects_describe_themselves(answers):
    """
    One and all.
    """
    assert answers["fields"] > 30
    assert {"MessagingSession", "VoiceCall", "Organization"} <= set(answers["objects"])


def test_usage_is_read_from_the_header(answers):
    """
    Sforce-Limit-Info and /limits agree on the allocation.
    """
    assert (answers["usage"]["limit"], answers["daily"]) == (100_000, 100_000)


def test_deletions_are_asked_for(answers):
    """
    Its deleted().
    """
    assert answers["deleted"] == 3


def test_a_batch_is_answered_one_by_one(answers):
    """
    composite/batch with a request that fails.
    """
    assert answers["batch"] == [200, 404]


def test_bulk_rows_are_streamed(answers, plain):
    """
    bulk2 query: a job of two members, results without maxRecords.
    """
    assert sorted(answers["bulk"]) == plain.ids("MessagingSession")


def test_bulk_scan_all_brings_deleted_rows(answers, plain):
    """
    operation queryAll.
    """
    assert sorted(answers["bulkAll"]) == plain.ids("MessagingSession", deleted=True)


def test_a_refused_query_tells_its_code(answers):
    """
    Error bodies are arrays that it can read.
    """
    assert answers["refused"] == "INVALID_FIELD"
