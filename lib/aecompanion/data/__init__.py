"""Data sets: raw files and their manifest, the domains, one form for all of them."""
