"""The Huey scheduler: enqueues the check and the reset on their seconds."""
