"""Dagster: partitions, resources, assets, schedules. The only room that knows it."""
