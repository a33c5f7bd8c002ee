"""Normalisation over dimensions, batches and groups."""
