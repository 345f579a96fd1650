"""Numbers as people read them; a dash for what is not known."""

from __future__ import annotations

NOTHING = "–"

_MINUTE, _HOUR = 60, 3600
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """``0.125`` as ``12.5 %``."""
    return NOTHING if value is None else f"{value * 100:.1f}\N{NO-BREAK SPACE}%"


def duration(seconds: float | None) -> str:
    """The two largest units: ``42 s``, ``3 min 05 s``, ``1 h 02 min``; tenths below ten seconds."""
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    if whole < 10:
        told = f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    elif whole < _MINUTE:
        told = f"{whole} s"
    elif whole < _HOUR:
        told = f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    else:
        minutes = round(seconds / _MINUTE)
        told = f"{minutes // _MINUTE:,} h {minutes % _MINUTE:02} min"
    return told.replace(" ", "\N{NO-BREAK SPACE}")


def tick(seconds: float) -> str:
    """A round duration on an axis: ``1 min`` where ``duration`` says ``1 min 00 s``."""
    return (
        duration(seconds)
        .removesuffix("\N{NO-BREAK SPACE}00\N{NO-BREAK SPACE}s")
        .removesuffix("\N{NO-BREAK SPACE}00\N{NO-BREAK SPACE}min")
    )


def size(count: float | None) -> str:
    if count is None:
        return NOTHING
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:,.{1 if unit else 0}f}\N{NO-BREAK SPACE}{_UNITS[unit]}"


def counted(count: int, one: str, many: str) -> str:
    """``1 call``, ``2 calls``."""
    return f"{count:,}\N{NO-BREAK SPACE}{one if count == 1 else many}"
