"""The fixtures of the client's tests: an org and a fault server over real HTTP."""

from conversation_pipeline_tests.salesforce.conftest import faults, line, org, running, store

__all__ = ["faults", "line", "org", "running", "store"]
