"""Runs containers: Modal's own entrypoint, a snapshot by fork, single use, in a jail.

`policy.py` says what a container may do; `zygote.py` is what the scheduler uses; `isolation.py` says which layers work
on this machine. `launcher.py`, `modal_seam.py`, `forkserver.py` and `jail.py` run inside the image's interpreter.
"""
