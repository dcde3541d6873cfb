"""Events: the journal and outbox on disk, payloads, the broker, commands."""

from bin_daemon.events.journal import Journal
from bin_daemon.events.outbox import Outbox, OutboxStats

__all__ = ["Journal", "Outbox", "OutboxStats"]
