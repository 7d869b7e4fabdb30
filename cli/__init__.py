"""whatsapp-container: run the service, look at it, and act on it."""
