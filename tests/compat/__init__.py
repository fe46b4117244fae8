"""What the first release left on people's disks: Stores, exported fits, links and command lines. ``make_first_release.py`` made it."""
