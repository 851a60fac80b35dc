"""Whole calls, composed by chance and held against what their devices know of them."""
