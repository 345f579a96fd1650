"""Bulk API 2.0 results into day partitions: how fast, with how much memory, against whom."""
