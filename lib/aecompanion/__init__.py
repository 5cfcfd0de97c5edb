"""Methods of five papers on adversarial examples and visual explanation; docs/design.md lists the rooms."""
