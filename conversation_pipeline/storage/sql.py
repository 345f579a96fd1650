"""
The one place where SQL is put together.

Names come from declarations only; values go as parameters wherever DuckDB takes them.
"""

from __future__ import annotations

from collections.abc import Iterable


class Text(str):
    """A text for where DuckDB takes no parameter: paths to attach, settings, comments."""


def sql(template: str, /, **parts: str | Text | Iterable[str]) -> str:
    """
    A statement with its names in double quotes and its texts in single ones.

    Args:
        template: SQL with a ``{placeholder}`` for each part.
        parts: A name of a table or column, several names for a list with commas between, or a ``Text``.
    """
    return template.format(**{placeholder: _quoted(part) for placeholder, part in parts.items()})


def _quoted(part: str | Text | Iterable[str]) -> str:
    if isinstance(part, Text):
        return "'" + part.replace("'", "''") + "'"
    if isinstance(part, str):
        return '"' + part.replace('"', '""') + '"'
    return ", ".join(_quoted(name) for name in part)
