"""What a person, and a container engine, sees: QR, status, health. Reads Redis only."""
