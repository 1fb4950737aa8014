"""Reads predictions and scores them."""
