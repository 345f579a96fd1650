"""The seeded world: who wrote what to whom and when, with no knowledge of HTTP."""
