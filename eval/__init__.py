"""Scores predictions and, later, makes them."""
