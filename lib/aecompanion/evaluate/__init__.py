"""Measures on saved maps and predictions."""
