"""
A simulated Salesforce org of enhanced Messaging and Voice conversations over real HTTP on loopback.

For demonstrations, tests and benchmarks, and for anyone who writes a Salesforce client: a seeded world behind OAuth,
SOQL and the Conversation Data API, with a clock that can be moved, limits that are enforced and faults to order.
"""

from __future__ import annotations

from conversation_pipeline.simulator.server import Certificate, Running, Simulator

__all__ = ["Certificate", "Running", "Simulator", "run"]


def run(port: int = 8443) -> None:
    """Serve an org with the default seed in the foreground until interrupted."""
    Simulator().run(port)
