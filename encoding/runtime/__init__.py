"""Runtime helpers: registries, progress, threads, devices, CSV and HTML output."""
