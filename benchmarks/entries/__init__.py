"""From replies' bytes to Parquet: entries a second by stage, and memory."""
