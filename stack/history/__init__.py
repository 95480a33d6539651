"""The history of what clients sent and saw, and its check against the model of a job, a batch and an adapter.

As in Jepsen's checkers, every operation is recorded when it is invoked and when its outcome is known, and the check is
a pure function of this record.
"""
