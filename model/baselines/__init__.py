"""Systems without a network, to compare with: what they reach needs no reading."""
