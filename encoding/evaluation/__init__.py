"""Splits, scores and noise ceilings."""
