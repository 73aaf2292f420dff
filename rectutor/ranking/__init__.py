"""Ranking (排序): models that say how likely a click is, and the protocol that measures them."""
