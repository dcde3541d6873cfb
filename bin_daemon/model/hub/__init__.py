"""Download a model from ModelScope's hub, or from any server with its two endpoints.

Plain `requests` and not PyPI `modelscope-hub`, whose download was read and tried (0.5.1): it resumes and checks digests well, but
asks a region server that the hub names, writes a session file and locks into the home folder, follows a redirect from https to
http, draws a bar of its own, does not look at the disk's free space, and brings cryptography, filelock and tqdm along. What is
left to do here is a listing, a stream with Range, and honest errors.
"""

from bin_daemon.model.hub.client import DEFAULT_ENDPOINT, Hub, HubFile
from bin_daemon.model.hub.pull import DEFAULT_MODEL, Pulled, default_revision, pull

__all__ = ["DEFAULT_ENDPOINT", "DEFAULT_MODEL", "Hub", "HubFile", "Pulled", "default_revision", "pull"]
