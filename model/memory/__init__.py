"""Memory: slots, similarities between inputs and slots, reading, and when reading starts."""
