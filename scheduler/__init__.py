"""A scheduler for Dynamic Resource Allocation."""

from scheduler.native import NATIVE

__all__ = ["NATIVE"]
