"""Data Cloud: the synced conversation objects, asked by SQL over the tenant host and over the core host."""
