"""Badge for simulated data."""

SIMULATED = ":orange-badge[Simulated: no brain was measured]"
