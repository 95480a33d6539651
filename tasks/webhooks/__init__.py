"""Webhooks: submitters' servers are told, in signed messages, that a job or a batch has ended.

``target`` says where they may go, ``secrets`` what signs them, ``notice`` what they say, ``delivery`` what is known of
one, ``deliveries`` keeps them in turn (``stored`` reads them), ``sender`` sends them.
"""

from tasks.outbound.webhook_target import check_webhook

__all__ = ["check_webhook"]
