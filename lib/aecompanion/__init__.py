"""Methods of five papers on adversarial examples and visual explanation; the rooms are listed in README.md."""
