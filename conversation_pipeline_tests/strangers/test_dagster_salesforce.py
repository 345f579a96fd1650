"""dagster-salesforce against the simulator: its Bulk road, in a process that trusts the certificate."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.strangers,
    pytest.mark.skipif(
        importlib.util.find_spec("dagster_salesforce") is None,
        reason="install conversation_pipeline_tests/strangers/requirements.txt",
    ),
]


@pytest.fixture(scope="module")
def answers(secure, certificate, home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client was told."""
    command = [sys.executable, str(home / "dagster_salesforce_client.py"), secure.url, secure.token,
               str(tmp_path_factory.mktemp("results"))]  # fmt: skip
    trusting = os.environ | {"REQUESTS_CA_BUNDLE": str(certificate.certificate_file)}
    told = subprocess.run(command, env=trusting, capture_output=True, text=True, timeout=100, check=False)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout.splitlines()[-1])


def test_it_connects(answers):
    """
    Its check reads the Organization.
    """
    assert answers["organization"]
    assert answers["daily"] == 100_000


def test_objects_describe_themselves(answers):
    """
    Every key of describe that it takes is there.
    """
    assert {"MessagingSession", "VoiceCall"} <= set(answers["objects"])
    assert {"Id", "Status", "SystemModstamp"} <= set(answers["columns"])


def test_every_column_of_every_row_is_downloaded(answers, secure):
    """
    A queryAll job, pages of 2,000 rows, counts that agree.
    """
    assert sorted(answers["ids"]) == secure.ids("MessagingSession", deleted=True)
    assert len(answers["pages"]) == 3
    assert all(told == read for told, read in answers["pages"])
