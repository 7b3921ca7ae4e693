"""From published files to Documents: formats, where they are found, sub-words, and the built-in corpus."""
