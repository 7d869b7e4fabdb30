"""The session kept safe: verified generations of the profile in S3 or a directory, restored anywhere."""
