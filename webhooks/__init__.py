"""The process that posts each event to addresses of the backend's. Begin with delivery.py."""
