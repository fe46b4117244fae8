"""The brain: the map to draw, its viewer and exports."""
