"""The service at work against the stand-in, told in the terminal."""
