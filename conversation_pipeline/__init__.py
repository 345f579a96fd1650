"""Salesforce conversations from all five roads as partitioned Parquet datasets and DuckDB tables, on Dagster."""

import warnings

# Backfill policies and mappings to partitions yet to come are "beta" in Dagster's words since years; one warning per
# asset and process would bury the run's own lines.
warnings.filterwarnings("ignore", message=".*is currently in beta.*")
warnings.filterwarnings("ignore", message="(?s).*varying BackfillPolicies.*")
