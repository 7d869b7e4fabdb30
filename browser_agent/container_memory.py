"""How much memory there is: the container's own limit, or the machine's."""

from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def memory_at_most(cgroups: Path = _CGROUPS, own: Path = _OWN, machine: int | None = None) -> int:
    """The tightest of the limits of this process' control groups, version 2 or 1, and of the machine's memory.

    Within a container its own group is mounted at the top; outside, ours lies somewhere below, and every group above
    it limits it too.
    """
    limits = [machine if machine is not None else psutil.virtual_memory().total]
    paths = _own_groups(own)
    for base, file, path in (
        (cgroups, "memory.max", paths.get("", "")),
        (cgroups / "memory", "memory.limit_in_bytes", paths.get("memory", "")),
    ):
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            limit = _number_in(base.joinpath(*parts[:depth], file))
            if limit is not None:
                limits.append(limit)
    return min(limits)


def _own_groups(own: Path) -> dict[str, str]:
    """The path of each controller's group; version 2's has no controller's name."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return {}
    groups = {}
    for line in lines:
        _number, controllers, path = [*line.split(":", 2), "", ""][:3]
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _number_in(path: Path) -> int | None:
    """None where there is none, or `max`."""
    try:
        number = int(path.read_text())
    except (OSError, ValueError):
        return None
    return number if number > 0 else None
