"""Runs the parts of Quartermaster on one machine: embedded PostgreSQL and Valkey, and the demo's supervisor.

Nothing here imports Django: the launcher prepares the environment from which Django reads its configuration.
Linux only: it relies on /proc and on the kernel's parent-death signal.
"""
