"""From scores to clusters and Documents."""
