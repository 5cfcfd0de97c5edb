"""Yang et al., ICIP 2019: the causal effect of a network's features."""
