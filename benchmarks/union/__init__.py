"""Four roads united, on two cores, within 2 GB."""
