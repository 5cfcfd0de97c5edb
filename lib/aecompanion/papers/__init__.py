"""The papers: a folder each, found by its `paper.yaml` (`report.papers`)."""
