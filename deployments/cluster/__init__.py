"""Where deployments run. `base` says what a driver offers; `local`, `kubernetes` and `memory` are the drivers."""
