"""Open data sets: one TOML file each, which says where the files are, what is asked of the user, and what converts them.

:mod:`encoding.datasets.catalogue.fetch` downloads one and writes it as own data (docs/own_data.md); nothing behind a form or a password
is fetched.
"""

from encoding.datasets.catalogue.entry import Entry, RemoteFile, entries, find_entry

__all__ = ["Entry", "RemoteFile", "entries", "find_entry"]
