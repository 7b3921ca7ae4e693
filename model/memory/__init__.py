"""Memory: slots of categories and beside them, similarities of inputs and slots, reading, and when reading starts."""
