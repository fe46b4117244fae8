"""Responses to new stimuli."""
