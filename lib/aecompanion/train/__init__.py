"""Training: classifiers, adversarial training, ensembles of seeds, autoencoders, inverse halftoning."""
