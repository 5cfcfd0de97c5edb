"""Networks: creating, training, saving."""
