"""Badges that stand beside what is shown."""

SIMULATED = ":orange-badge[Simulated: no brain was measured]"
