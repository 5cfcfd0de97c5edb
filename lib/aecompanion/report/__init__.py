"""Displays, tables, claims and the published results."""
