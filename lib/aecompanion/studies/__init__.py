"""The loops that several notebooks share, and the files in which they hand results on."""
