"""Input transformations that stand before a classifier: halftoning and its inverse, JPEG, bit depth, TV, median."""
