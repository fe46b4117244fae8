"""Content-addressed store of results on disk: keys, locks, fingerprints of input files, provenance."""
