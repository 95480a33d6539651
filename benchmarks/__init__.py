"""Measurements. They report ratios within one run; nothing here is a test."""
