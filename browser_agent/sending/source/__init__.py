"""A file that is to be sent, brought to the disk from where the backend says it is.

Whoever may give commands must not come through here to what only this machine can reach: its files, its network, the
session's archives. Hence: only https, unless the host is named in SEND_PRIVATE_HOSTS; no address that is not public,
unless it is; the name is resolved once and that address connected to, again for each redirect; of S3 only the media;
of the disk only two folders, links followed first. Everything here is plain and blocking: it runs in a process of its
own.
"""
