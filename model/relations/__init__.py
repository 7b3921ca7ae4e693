"""Relations: the representation of an ordered pair of entities, globally (GRC) or from all mention pairs (MRC)."""
