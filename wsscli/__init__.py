"""Weakly-supervised semantic segmentation, one composable step at a time."""

__version__ = "0.1.0"
