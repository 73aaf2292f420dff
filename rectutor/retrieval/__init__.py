"""Retrieval (召回): from all items to a few hundred candidates."""
