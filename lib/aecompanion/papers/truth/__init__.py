"""The truth bench: explanations, metrics and counterfactuals against known effects. Ours, no paper."""
