"""How work runs here: registries, progress, threads, devices."""
