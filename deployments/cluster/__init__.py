"""Where deployments run. `base` defines the driver's interface; `local`, `kubernetes` and `memory` are the drivers."""
