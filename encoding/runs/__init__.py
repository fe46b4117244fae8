"""Finished fits: the table, reports, exchange."""
