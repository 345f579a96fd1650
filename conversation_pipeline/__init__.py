"""Salesforce conversations from all five roads as partitioned Parquet datasets and DuckDB tables, on Dagster."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conversation_pipeline.reading import read

__all__ = ["read"]

# Backfill policies and mappings to partitions yet to come are "beta" in Dagster's words since years; one warning per
# asset and process would bury the run's own lines.
warnings.filterwarnings("ignore", message=".*is currently in (beta|preview).*")
warnings.filterwarnings("ignore", message="(?s).*varying BackfillPolicies.*")


def __getattr__(name: str) -> Any:
    # On first use: whoever imports the client or the simulator alone does not pay for DuckDB.
    if name == "read":
        return import_module("conversation_pipeline.reading").read
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
