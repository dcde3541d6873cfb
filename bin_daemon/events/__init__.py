"""Events: the journal and outbox on disk, payloads, commands, and the broker."""

from bin_daemon.events.bus import Bus
from bin_daemon.events.command_queue import CommandQueue, LocalCommands, PendingCommand
from bin_daemon.events.commands import Command, Refusal
from bin_daemon.events.journal import Journal
from bin_daemon.events.mqtt import Publisher, PublisherStats
from bin_daemon.events.outbox import Outbox, OutboxStats

__all__ = [
    "Bus",
    "Command",
    "CommandQueue",
    "Journal",
    "LocalCommands",
    "Outbox",
    "OutboxStats",
    "PendingCommand",
    "Publisher",
    "PublisherStats",
    "Refusal",
]
