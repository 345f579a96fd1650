"""Quoting for SQL. Names come from declarations only; values go as parameters wherever DuckDB takes them."""

from __future__ import annotations


def identifier(name: str) -> str:
    """A table's or column's name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text where DuckDB takes no parameter: paths to attach, comments, settings."""
    return "'" + text.replace("'", "''") + "'"
