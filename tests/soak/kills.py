"""`hatch run soak`: kill -9 in every stage, at whom and when a seed decides, until the time or the kills are over.

Each line is one kill: who was killed at what, how the command ended, how long others lived on, what was done
again. A chain of kills on one OUT folder ends with an undisturbed command, whose bytes must be those of a run that
nobody disturbed. Exits with 1 on any difference, on a unit repeated too often and on processes that live on.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.kills import VICTIMS, Kill, Rig, make_raw

LONGEST = 4  # kills of one OUT folder
LINE = "{:>4} {:6} {:8} {:18} {:34} {:>5} {:>7} {:>7} {:>6}  {}"


def planned(rig, dice):
    """Endless events of the undisturbed run, by number: one of each stage, then another of each, and so on."""
    stages = {}
    for number, (kind, stage) in enumerate(rig.events, start=1):
        stages.setdefault(stage, {}).setdefault(kind, []).append(number)
    while True:
        deck = [dice.choice(dice.choice(list(kinds.values()))) for kinds in stages.values()]
        dice.shuffle(deck)
        yield from deck


def plan(mode, events, dice):
    """One chain: kills at these events of the whole, counted anew by each command."""
    done, kills = 0, []
    for event in sorted(events):
        kills.append(Kill(dice.choice(VICTIMS[mode]), max(1, event - done), torn=dice.random() < 0.5))
        done = event
    return kills


def soak(rig, dice, *, kills, seconds):
    """Yield chains."""
    began, fired, events, modes = time.monotonic(), 0, planned(rig, dice), []
    while fired < kills and time.monotonic() - began < seconds:
        modes = modes or dice.sample(list(VICTIMS), len(VICTIMS))
        mode = modes.pop()
        length = min(dice.randint(1, LONGEST), kills - fired)
        chain = rig.chain(mode, plan(mode, [next(events) for _ in range(length)], dice))
        fired += len(chain.fired)
        yield chain


def show(chain, number):
    """Print a line for each kill."""
    for fired in chain.fired:
        verdict = "; ".join(chain.faults) or "equal bytes"
        hit = fired.hit
        cells = (
            hit["event"],
            hit["stage"],
            fired.code,
            f"{fired.ended:.2f}",
            f"{fired.lingered:.2f}",
            fired.repeated,
        )
        print(
            LINE.format(number, chain.mode, fired.kill.victim, *cells, f"{verdict} ({hit['place']})"), flush=True
        )
        number += 1
    return number


def summarise(chains, stages):
    """Print counts by victim and stage; give the number of faults."""
    fired = [(chain, kill) for chain in chains for kill in chain.fired]
    equal = sum(not chain.faults for chain, _ in fired)
    print(f"\n{equal} of {len(fired)} kills with equal bytes, on {len(chains)} OUT folders")
    for title, names in (
        ("victim", [f"{chain.mode} {kill.kill.victim}" for chain, kill in fired]),
        ("event", [kill.hit["event"] for _, kill in fired]),
        ("stage", [kill.hit["stage"] for _, kill in fired]),
    ):
        print(f"by {title}: " + ", ".join(f"{name} {n}" for name, n in sorted(Counter(names).items())))
    if missed := stages - {kill.hit["stage"] for _, kill in fired}:
        print(f"not hit: {', '.join(sorted(missed))}")
    print(f"others lived on for at most {max((kill.lingered for _, kill in fired), default=0):.2f} s")
    print(
        f"a command that lost a part ended after at most {max((kill.ended for _, kill in fired), default=0):.2f} s"
    )
    print(f"units done again, kills: {sorted(Counter(kill.repeated for _, kill in fired).items())}")
    return sum(len(chain.faults) for chain in chains)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="stop after so many [100]")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more after so long")
    parser.add_argument("--seed", type=int, default=None, help="repeat a run that was seen")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="soak") as place:
        rig = Rig(Path(place) / "rig", make_raw(Path(place) / "raw"))
        print(LINE.format("kill", "mode", "victim", "at", "stage", "exit", "ended", "others", "again", "result"))
        chains, number = [], 1
        for chain in soak(rig, random.Random(seed), kills=options.kills, seconds=options.seconds):
            number = show(chain, number)
            chains.append(chain)
        faults = summarise(chains, {stage for _, stage in rig.events})
    sys.exit(1 if faults or number == 1 else 0)


if __name__ == "__main__":
    main()
