"""The process that owns the page."""
