"""Evaluation: gold and predicted Documents in, counts out. No torch."""
