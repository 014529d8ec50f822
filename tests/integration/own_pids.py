"""A pid namespace for a whole test: its processes see each other and nobody else.

So a daemon under test may look at every process there is, as root may on a real machine; pids can be
chosen, and so recycled; and whatever a test leaves behind ends with it.
"""

import os
import subprocess
import sys

_ENTERED = "MMSTATS_TEST_HAS_OWN_PIDS"
_LAST_PID = "/proc/sys/kernel/ns_last_pid"


def entered():
    return os.environ.get(_ENTERED) == str(os.getpid())


def enter():
    """Runs the calling script again in a new namespace, or returns if it is there already, or if the
    system does not let us: tests that depend on it are to be skipped then."""
    if entered():
        return
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("no pid namespace of our own here", file=sys.stderr)
        return
    # The first process of a namespace has the pid 1.
    os.environ[_ENTERED] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, "-B", *sys.argv])


def fork_as(pid):
    """os.fork(), with the pid wanted for the child if it is free and we may choose."""
    if entered():
        with open(_LAST_PID, "w") as last:
            last.write(str(pid - 1))
    return os.fork()
