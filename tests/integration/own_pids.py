"""A pid namespace for a whole test: its processes see each other and nobody else.

So a daemon under test may look at every process there is, as root may on a real machine; pids can be
chosen, and so recycled; and whatever a test leaves behind ends with it.
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
_SKIPPED = 77  # what ctest counts as skipped
_ENTERED = "MMSTATS_TEST_HAS_OWN_PIDS"
_LAST_PID = "/proc/sys/kernel/ns_last_pid"


def entered():
    return os.environ.get(_ENTERED) == str(os.getpid())


def enter():
    """Runs the calling script again in a new namespace, or returns if it is there already. Where the system
    does not let us, the script ends as skipped."""
    if entered():
        return
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("skipped: no pid namespace of our own here", file=sys.stderr)
        sys.exit(_SKIPPED)
    # The first process of a namespace has the pid 1.
    os.environ[_ENTERED] = "1"
    # By run_file.py, so that tests which are skipped there are told of, too.
    os.execvp(unshare[0], [*unshare, sys.executable, "-B", os.path.join(HERE, "run_file.py"), *sys.argv])


def fork_as(pid):
    """os.fork(), with the pid wanted for the child if it is free."""
    with open(_LAST_PID, "w") as last:
        last.write(str(pid - 1))
    return os.fork()
