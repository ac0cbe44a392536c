"""Data shipped with dsconv."""
