"""Salesforce conversations from all five roads as partitioned Parquet datasets and DuckDB tables, on Dagster."""
