"""The joint models, each made of the parts below."""
