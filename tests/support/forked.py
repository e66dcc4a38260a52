"""Work in a fork of this process, which needs no imports of its own, to be killed -9 there."""

import os
import signal

from cloudreg_io.run import session


def begun(work):
    """Fork, and do `work()` there. Gives the child's process id."""
    child = os.fork()
    if child == 0:  # pragma: no cover -- another process
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def ended(child):
    """Wait for a fork: 0 when its work came to its end, 1 when it raised, -9 when it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_in(stage, work):
    """Fork, begin `work()`, and be killed when the first unit of a stage (name, channel) has been done.

    Gives the exit status: -9, or 0 where that stage had nothing left to do.
    """

    def cut_short():
        original = session.Journal.done

        def done(journal, key, unit, result, cost):
            original(journal, key, unit, result, cost)
            if key == stage:
                os.kill(os.getpid(), signal.SIGKILL)

        session.Journal.done = done
        work()

    return ended(begun(cut_short))
