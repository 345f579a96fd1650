"""The lake (Parquet), staging (raw answers, resume) and the warehouse (DuckDB)."""

from conversation_pipeline.storage.errors import Overtaken, PublishError, StagingError, StorageError, WarehouseError
from conversation_pipeline.storage.lake import Lake, Receipt
from conversation_pipeline.storage.staging import Pull, Staged, Staging
from conversation_pipeline.storage.warehouse import Landed, Landing, Warehouse

__all__ = [
    "Lake",
    "Landed",
    "Landing",
    "Overtaken",
    "PublishError",
    "Pull",
    "Receipt",
    "Staged",
    "Staging",
    "StagingError",
    "StorageError",
    "Warehouse",
    "WarehouseError",
]
