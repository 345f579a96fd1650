"""The control plane below /simulator: clock, switches, limits, faults, counters, truth."""
