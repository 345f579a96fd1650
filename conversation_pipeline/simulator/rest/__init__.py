"""The core REST API of the org: versions, describe, limits, query and queryAll."""
