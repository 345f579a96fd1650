"""Bulk API 2.0 query jobs: created, polled, read as CSV page by page, aborted and deleted."""
