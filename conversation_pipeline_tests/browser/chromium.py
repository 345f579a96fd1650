"""Headless Chromium lays pages out and says what is broken in them."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--run-all-compositor-stages-before-draw",
    "--virtual-time-budget=20000",
)
_DARK = "--blink-settings=preferredColorScheme=0"
_LIGHT = "--blink-settings=preferredColorScheme=1"
_SECONDS = 100
_SCRIPT = Path(__file__).with_name("layout.js")

# One frame a page and width: media queries ask for the width of their frame. A frame becomes as high as its page.
_HARNESS = """<!doctype html><meta charset="utf-8"><body style="margin: 0">{frames}<pre id="found"></pre><script>
{script}
const told = {{}};
addEventListener("load", () => {{
  for (const frame of document.querySelectorAll("iframe")) {{
    const [page, width] = [frame.dataset.page, frame.width];
    frame.height = frame.contentDocument.documentElement.scrollHeight;
    told[`${{page}} at ${{width}}`] = findings(frame.contentDocument, frame.contentWindow);
  }}
  const scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  document.getElementById("found").textContent = JSON.stringify({{scheme, told}});
}});
</script>"""
_FRAME = (
    '<iframe data-page="{page}" width="{width}" height="900" scrolling="no" style="border: 0" srcdoc="{content}">'
    "</iframe>"
)


def browser() -> str:
    """
    Raises:
        FileNotFoundError: no Chromium is there; the message says what to do.
    """
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError("no Chromium is there: apt-get install -y chromium")


def broken(
    pages: Mapping[str, str], widths: Sequence[int], folder: Path, *, dark: bool = False
) -> dict[str, list[str]]:
    """
    What is broken, by page and width.

    Args:
        pages: HTML by name.
        folder: For the harness and the browser's profile.
    """
    frames = "".join(
        _FRAME.format(page=name, width=width, content=html.escape(page))
        for name, page in pages.items()
        for width in widths
    )
    harness = folder / "harness.html"
    harness.write_text(_HARNESS.format(frames=frames, script=_SCRIPT.read_text()), encoding="utf-8")
    scheme = _DARK if dark else _LIGHT
    command = [browser(), *_FLAGS, scheme, f"--user-data-dir={folder / 'profile'}", "--dump-dom", harness.as_uri()]
    told = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    answer = json.loads(html.unescape(told.rpartition('<pre id="found">')[2].partition("</pre>")[0]))
    assert answer["scheme"] == ("dark" if dark else "light")
    found: dict[str, list[str]] = answer["told"]
    return found
