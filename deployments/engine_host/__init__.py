"""The engine host: a very small kubelet. It runs the engines of the local cluster as processes of this machine.

Start it with `python -m deployments.engine_host --state-dir DIR`. It imports no Django and no Kubernetes client. It
reads from files what to run (`state.py`), so that the process that requested an engine may die without harm to it.
"""
