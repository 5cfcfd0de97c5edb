"""Chakraborty et al., CVPR Workshops 2022: how heatmaps shift under attack."""
