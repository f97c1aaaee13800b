"""Sorbent frameworks: nets, building blocks, their assembly, and proposers over them."""
