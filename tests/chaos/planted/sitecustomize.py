# ruff: noqa: PTH101, PTH110, PTH118, PTH123
"""Put before all else on PYTHONPATH, so that Python imports it when it starts: plants one fault in a command.

SLIMNB_CHAOS holds the plan as JSON. What the command and its children do to the watched directories (open, rename,
remove, make or remove a directory) is counted, in all of them together; at the so-manieth of these the fault happens,
once. So a seed finds the same moment again, and moments lie close where files are written.
"""

import json
import os
import sys

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def plant(plan):
    import resource  # before memory is short
    import signal
    import time

    if plan.get("rank") not in (None, os.environ.get("RANK")):
        return
    if plan.get("only") and plan["only"] not in " ".join(sys.orig_argv):
        return
    if plan.get("group"):
        with open(os.path.join(plan["group"], "cgroup.procs"), "w") as group:
            group.write("0")
    counter = os.open(plan["counter"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.set_inheritable(counter, False)
    watched, at, busy, true_time, back = tuple(plan["watched"]), plan["at"], [False], time.time, [0.0]
    time.time = lambda: true_time() - back[0]

    def directories():
        for top in watched:
            for path, _, files in os.walk(top, topdown=False):
                yield path, files

    def happens():
        fault = plan["fault"]
        if fault == "kill -9":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        elif fault == "SIGINT":
            os.kill(os.getpid(), signal.SIGINT)
        elif fault == "memory error":
            raise MemoryError  # not RLIMIT_AS: pyarrow then waits for ever for threads that it cannot start
        elif fault == "memory taken":
            taken = []
            while True:  # until the kernel kills
                taken.append(bytearray(os.urandom(1 << 12) * (1 << 12)))
        elif fault == "full disk":
            with open(plan["filler"], "wb", buffering=0) as filler:
                try:
                    while True:
                        filler.write(bytes(1 << 12))
                except OSError:
                    filler.truncate(max(0, filler.tell() - plan["left"]))
        elif fault == "file size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (plan["left"], -1))
        elif fault == "read-only directory":
            for path, _ in directories():
                os.chmod(path, 0o555)
        elif fault == "permission denied":
            for path, files in directories():
                for name in files:
                    os.chmod(os.path.join(path, name), 0o000)
                os.chmod(path, 0o555)
        elif fault == "clock set back":
            back[0] = 86400.0
        elif fault == "pause":
            end = time.monotonic() + 100
            while not os.path.exists(plan["counter"] + ".go") and time.monotonic() < end:
                time.sleep(0.02)

    def count(event, arguments):
        if event not in EVENTS or busy[0] or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        if not os.fsdecode(arguments[0]).startswith(watched):
            return
        os.write(counter, b".")
        if not at or os.fstat(counter).st_size < at:
            return
        busy[0] = True
        try:
            os.close(os.open(plan["counter"] + ".happened", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            busy[0] = False
            return
        try:
            happens()
        finally:
            busy[0] = False

    sys.addaudithook(count)


if os.environ.get("SLIMNB_CHAOS"):
    plant(json.loads(os.environ["SLIMNB_CHAOS"]))
