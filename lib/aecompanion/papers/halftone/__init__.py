"""Huang et al., ICPR 2020: halftoning against adversarial examples."""
