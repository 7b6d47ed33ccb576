"""The GPUs of this machine, handed out one by one."""

from collections.abc import Mapping

_VISIBLE = {
    "nvidia.com/gpu": "CUDA_VISIBLE_DEVICES",
    "amd.com/gpu": "ROCR_VISIBLE_DEVICES",
    "huawei.com/Ascend910": "ASCEND_RT_VISIBLE_DEVICES",
}
"""The variable by which an engine learns which devices are its own."""

Held = dict[str, list[int]]


class Devices:
    """Who holds which device. A machine has only the devices that it was configured with."""

    def __init__(self, totals: Mapping[str, int]) -> None:
        self.totals = dict(totals)
        self._free = {resource: list(range(count)) for resource, count in totals.items()}

    def take(self, wanted: Mapping[str, int]) -> Held | None:
        """Take all of `wanted`, or nothing: None if this machine does not have that much free."""
        if any(count > len(self._free.get(resource, ())) for resource, count in wanted.items()):
            return None
        return {
            resource: [self._free[resource].pop(0) for _ in range(count)]
            for resource, count in wanted.items()
        }

    def give_back(self, held: Held) -> None:
        for resource, devices in held.items():
            self._free[resource] = sorted(self._free[resource] + devices)

    def why_not(self, wanted: Mapping[str, int]) -> str:
        """The sentence for an operator after `take` refused."""
        lacking = [
            resource for resource, count in wanted.items() if count > len(self._free.get(resource, ()))
        ]
        return "; ".join(
            f"Insufficient {resource}: a replica needs {wanted[resource]}, and of the "
            f"{self.totals.get(resource, 0)} of this machine {len(self._free.get(resource, ()))} are free"
            for resource in lacking
        )


def visible_devices(held: Held) -> dict[str, str]:
    """The environment that shows an engine its own devices only."""
    return {_VISIBLE[name]: ",".join(map(str, devices)) for name, devices in held.items() if name in _VISIBLE}
