"""Measures the registration against known deformations, and beside the peers where they are installed.

    hatch run peers:python benchmarks/registration.py                    # the tables, with peers
    python benchmarks/registration.py --methods cloudreg --seeds 11-14   # any seeds, ours alone
    python benchmarks/registration.py --only starts,voxel-scales,large   # the other topics

Points, labels on a native grid and their memory are measured by `benchmarks/transform.py`.

Every run is a process of its own: seconds are those of the registration (its affine stage included, imports and
reading not), MB its peak. Landmarks in µm, atlas to target; "valid" are those in tissue that is there and not
outshone. "return" is how far points of the tissue come back beside where they began, in µm.
"""

import argparse
import json
import tempfile
from pathlib import Path

from registering import apart, cases, figures, studies, tables
from registering.peers import GREEDY


def seeds_of(text):
    parts = (part.split("-") for part in text.split(","))
    return [seed for part in parts for seed in range(int(part[0]), int(part[-1]) + 1)]


def compare(options, record):
    """The main tables: every method on every case."""
    for kind in options.cases.split(","):
        results = {method: [] for method in options.methods.split(",")}
        for seed in options.seeds:
            folder = cases.make(options.cache, kind, seed, options.resolution)
            for method, found in results.items():
                found.append(
                    apart.run(folder, method, options.threads, options.set if method == "cloudreg" else None)
                )
                record(topic="compare", kind=kind, seed=seed, method=method, **found[-1])
            tables.show(f"{kind}, seed {seed}, {options.resolution} µm", [(m, r[-1]) for m, r in results.items()])
        means = [(method, tables.average(found)) for method, found in results.items()]
        tables.show(f"{kind}, mean over seeds {options.seeds}, {options.resolution} µm", means)


TOPICS = {"compare": compare} | studies.TOPICS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["identity", "cloudreg", *GREEDY, "syn", "dipy"]
    parser.add_argument("--only", default="compare", help=f"topics, or 'all': {', '.join(TOPICS)}")
    parser.add_argument("--cases", default="plain,hard")
    parser.add_argument("--seeds", type=seeds_of, default=seeds_of("101-105"))
    parser.add_argument(
        "--methods", default="identity,cloudreg,greedy2w,greedy3,greedy4,syn", help=", ".join(known)
    )
    parser.add_argument("--resolution", type=int, default=100, choices=(100, 200))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", type=json.loads, default={}, help="options of cloudreg as JSON")
    parser.add_argument("--cache", type=Path, help="folder of the cases, made where absent")
    parser.add_argument(
        "--pictures", type=Path, default=Path("registration-pictures"), help="where they are saved"
    )
    parser.add_argument("--json", type=Path, help="every result is appended here, one JSON object a line")
    parser.add_argument(
        "--draw", type=Path, help="draw what such a file holds into --pictures, and do nothing else"
    )
    options = parser.parse_args()
    if options.draw:
        figures.draw(options.draw, options.pictures)
        return

    def record(**result):
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps(result) + "\n")

    with tempfile.TemporaryDirectory() as scratch:
        options.cache = options.cache or Path(scratch)
        for topic in TOPICS if options.only == "all" else options.only.split(","):
            TOPICS[topic](options, record)


if __name__ == "__main__":
    main()
