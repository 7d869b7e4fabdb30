"""Figures, each beside its floor: the same work done bare, in the same run."""
