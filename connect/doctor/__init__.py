"""Why a worker cannot connect: checks along its way to the gateway, one after the other, without sending or taking work.

It goes with the worker's own pieces: the same settings, the same start request, the same socket, the same WORKER_CONNECT. It never
sends WORKER_READY, so nothing is routed to it.
"""

from connect.doctor.case import Plan
from connect.doctor.examination import CHECKS, Check, Examination
from connect.doctor.findings import Finding, Mark, scrubbed

__all__ = ["CHECKS", "Check", "Examination", "Finding", "Mark", "Plan", "scrubbed"]
