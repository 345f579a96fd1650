"""Transcript export archives to Parquet, side by side with pyarrow alone."""
