"""Where deployments run. `base` is the door; `local`, `kubernetes` and `memory` are the drivers behind it."""
