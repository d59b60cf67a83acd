"""Cases kept with upstream's answers, for `tests/oracle` to replay without Go."""

from typing import Any, Final

_DEFAULTS: Final = {
    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "Always",
    "dnsPolicy": "ClusterFirst", "securityContext": {}, "enableServiceLinks": True, "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30, "preemptionPolicy": "PreemptLowerPriority", "resources": {},
}  # fmt: skip


def lean(value: Any) -> Any:
    """API objects without the defaults that decide nothing and make up half of them, and without empty lists."""
    if isinstance(value, dict):
        whole = "containers" in value
        return {
            key: lean(each)
            for key, each in value.items()
            if each != [] and not (key in _DEFAULTS and _DEFAULTS[key] == each and (key != "restartPolicy" or whole))
        }
    return [lean(each) for each in value] if isinstance(value, list) else value
