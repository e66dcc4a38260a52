"""Runs one method on one case in a process of its own, so that seconds and memory are its own.

python -m registering.apart JOB.json: reads {"folder", "method", "threads", "options", "measure"}, prints JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


def run(folder, method, threads=2, options=None, measure=True):
    """What `measures.measure` gives, seconds, cpu_seconds and peak_bytes; or {"failed": why}, {"absent": True}."""
    from registering import methods

    if not methods.installed(method):
        return {"absent": True}
    job = {
        "folder": str(folder),
        "method": method,
        "threads": threads,
        "options": options or {},
        "measure": measure,
    }
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    # what PYTHONPATH named before still comes before the installed packages: a copy of them may be measured
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory() as scratch:
        path, answer = Path(scratch) / "job.json", Path(scratch) / "answer.json"
        path.write_text(json.dumps(job | {"answer": str(answer)}))
        command = [sys.executable, "-m", "registering.apart", str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode or not answer.is_file():
            why = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
            return {"failed": why}
        return json.loads(answer.read_text())


def main():
    import resource

    from cloudreg_io.synthetic import RegistrationCase
    from registering import measures, methods

    job = json.loads(Path(sys.argv[1]).read_text())
    case = RegistrationCase.load(job["folder"])
    began, cpu = time.perf_counter(), time.process_time()
    maps = methods.run(job["method"], case, job["threads"], job["options"])
    result = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    result |= (
        measures.measure(case, maps) if job["measure"] else measures.landmarks(case, maps) | (maps.notes or {})
    )
    Path(job["answer"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
