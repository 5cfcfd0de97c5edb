"""Explanations: what in the image a network's answer rests on."""
