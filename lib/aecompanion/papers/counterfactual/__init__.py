"""Boreiko et al., GCPR 2022: sparse visual counterfactuals."""
