"""Kim et al., IEEE TIP 2022: Robust Perturbation, cross-checked masks."""
