"""
Queries of Data Cloud: three APIs behind one interface.

``V3`` is the default (tenant host, chunks as Arrow streams, fetched in parallel), ``QuerySql`` the fallback (core host,
JSON pages by offset), ``V2`` for orgs that have neither. Contract: Data Cloud reference, sections 3 to 5.
"""

from __future__ import annotations

from conversation_pipeline.salesforce.data_cloud.legacy import V2
from conversation_pipeline.salesforce.data_cloud.query_sql import QuerySql
from conversation_pipeline.salesforce.data_cloud.results import Counted, DataCloud, Page, Result
from conversation_pipeline.salesforce.data_cloud.tenant import TenantAuth
from conversation_pipeline.salesforce.data_cloud.v3 import V3

__all__ = ["V2", "V3", "Counted", "DataCloud", "Page", "QuerySql", "Result", "TenantAuth"]
