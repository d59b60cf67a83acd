"""The first process of a box: prepares its file systems, then only takes in what other processes leave behind.

    python -m e2e.node.inside NAME HIERARCHY...

HIERARCHY is the mount option of a hierarchy of control groups of version 1, or `cgroup2`.
"""

import os
import signal
import subprocess
import sys


def prepare(name: str, hierarchies: list[str]) -> None:
    """In namespaces that are still copies of the host's: nothing done here is seen outside."""
    _mount("--make-rprivate", "/")
    # Those of the host show its own network devices, and its control groups from their root.
    _run("umount", "--recursive", "/sys")
    _mount("-t", "sysfs", "sysfs", "/sys")
    if hierarchies == ["cgroup2"]:
        _mount("-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    else:
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/sys/fs/cgroup")
        for each in hierarchies:
            os.mkdir(f"/sys/fs/cgroup/{each}")
            _mount("-t", "cgroup", "-o", each, "cgroup", f"/sys/fs/cgroup/{each}")
            for alone in each.split(",") if "," in each else ():
                os.symlink(each, f"/sys/fs/cgroup/{alone}")
    for folder in ("/run", "/var/log"):
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    # kubelet writes to a fixed place below /var/lib: let it, and let it go with the box.
    os.makedirs("/run/layers/upper")
    os.makedirs("/run/layers/work")
    layers = "lowerdir=/var/lib,upperdir=/run/layers/upper,workdir=/run/layers/work"
    _mount("-t", "overlay", "-o", layers, "overlay", "/var/lib")
    _mount("--make-rshared", "/")
    _run("hostname", name)
    _run("ip", "link", "set", "lo", "up")


def take_in() -> None:
    """Wait for children that were orphaned, forever."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        signal.sigwait([signal.SIGCHLD])
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


def _mount(*arguments: str) -> None:
    _run("mount", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2:])
    print("ready", flush=True)
    take_in()
