"""Publish finished fits and experiments as a folder of static web pages."""
