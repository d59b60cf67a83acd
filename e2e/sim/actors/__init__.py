"""Everybody else in a cluster. Each acts on what the store holds, after a while of its own."""
