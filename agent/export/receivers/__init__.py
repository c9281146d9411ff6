"""Whom alerts are told besides the backend: where, in which shape, and which of them.

receiver.py       what a receiver is; who is speaking
configured.py     the receivers of the options
webhook.py, slack.py, pagerduty.py, retrain.py     one shape each, from an event to a body
cooldown.py       once a cause
transport.py      a body's way out, with what is added at the moment of sending (signature, key, token)
alertmanager.py   what Alertmanager is told; resending.py tells each replica again and again
"""
