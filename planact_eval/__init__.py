"""Evaluation: serve the models, run the benchmark, count, and report beside the paper's numbers."""
