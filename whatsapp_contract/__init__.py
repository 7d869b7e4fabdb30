"""What the processes and the backend say to one another.

Imports nothing of ours: a backend may install it alone.
"""
