"""What a person does in Setup: ask for an export, wait for the mail, put the parts into a folder."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

FORMATS = ("csv", "jsonl", "json_per_conversation")


def dropped(url: str, folder: Path, *, layout: str = "csv") -> list[Path]:
    """
    A new export of the simulated org at that URL, in the folder; its seven days and its duration are set aside.

    A part appears under its name once it is whole.

    Raises:
      OSError: nobody answers there, or not like a simulated org.
    """
    # The folder may hold exports of this org already: the tool's interval is not what is shown here.
    switches = {"export_seconds": 0, "export_interval_seconds": 0, "export_layout": layout}
    _asked(f"{url}/simulator/switches", switches)
    token = _token(url)
    export = json.loads(_asked(f"{url}/sim/transcript-exports", {}, token))
    folder.mkdir(parents=True, exist_ok=True)
    return [_saved(folder / part["name"], _asked(part["url"], None, token)) for part in export["files"]]


def _token(url: str) -> str:
    client = json.loads(_asked(f"{url}/simulator/credentials"))["clients"][0]
    form = {"grant_type": "client_credentials"} | {name: client[name] for name in ("client_id", "client_secret")}
    request = urllib.request.Request(  # noqa: S310  (the URL is the caller's own)
        f"{url}/services/oauth2/token", urllib.parse.urlencode(form).encode()
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return str(json.load(answer)["access_token"])


def _asked(url: str, body: dict[str, Any] | None = None, token: str = "") -> bytes:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, content, headers)) as answer:  # noqa: S310
        return bytes(answer.read())


def _saved(file: Path, content: bytes) -> Path:
    beside = file.with_name(f".{file.name}")
    beside.write_bytes(content)
    return beside.replace(file)
