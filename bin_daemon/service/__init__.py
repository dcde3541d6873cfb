"""Mechanisms of a long-lived service, without any knowledge of bins: workers, systemd, logs, control socket, health."""

from bin_daemon.service.worker import CrashLimitError, Worker, WorkerStatus

__all__ = ["CrashLimitError", "Worker", "WorkerStatus"]
