"""Why a worker cannot connect: checks of each step from its settings to the gateway. The doctor neither sends nor takes work.

It uses the worker's own code: the same settings, start request, socket and WORKER_CONNECT. It never sends WORKER_READY, so the
gateway routes no request to it.
"""

from connect.doctor.checks import CHECKS, Check, Examination
from connect.doctor.context import Arguments
from connect.doctor.findings import Finding, Mark, scrubbed

__all__ = ["CHECKS", "Arguments", "Check", "Examination", "Finding", "Mark", "scrubbed"]
