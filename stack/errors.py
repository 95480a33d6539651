"""Errors of the stack.

StackError
├── AlreadyRunning   another stack works in the same folder
├── PartDied         a part ended by itself
├── PartNotReady     a part runs and does not answer in time
├── PortTaken        another process listens on the port of a part
└── StopAsked        the user wants to stop before everything is done
"""

from __future__ import annotations


class StackError(Exception):
    """Root of the tree. ``str(error)`` is a sentence that says what to do."""


class AlreadyRunning(StackError):
    """Another stack works in the same folder."""


class PartDied(StackError):
    """A part ended by itself."""


class PartNotReady(StackError):
    """A part runs and does not answer in time."""


class PortTaken(StackError):
    """Another process listens on the port of a part."""


class StopAsked(StackError):
    """The user wants to stop before everything is done."""
