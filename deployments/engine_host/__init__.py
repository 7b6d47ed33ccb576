"""The engine host: a very small kubelet. It runs the engines of the local cluster as processes of this
machine.

Started as `python -m deployments.engine_host --state-dir DIR`. It imports no Django and no Kubernetes
client; what it should run it reads from files (`state.py`), so that whoever asked for an engine may die
without harm to it.
"""
