"""Candidates: all that a document offers, and what a training visit draws from it."""
