"""Memory-enhanced joint entity and relation extraction (arXiv 2307.11762), and JEREX as a setting of it."""
