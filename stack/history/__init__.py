"""The history of what clients sent and saw, and the check of it against the model of a job, a batch and an adapter.

The manner is that of Jepsen's checkers: every operation is written down when it is invoked and when its outcome is
known, and the check is a pure function of what was written down.
"""
