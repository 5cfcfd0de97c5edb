"""What is explained: networks, their weights, and reading their answers."""
