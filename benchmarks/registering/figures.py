"""Figures of the results that `--json` keeps: accuracy beside the peers, error against seconds, against steps."""

import json

import numpy as np

COLOURS = {
    "cloudreg": "#d1495b",
    "greedy3": "#2e4057",
    "greedy4": "#66a182",
    "greedy2": "#8d96a3",
    "syn": "#edae49",
}
KINDS = {"plain": "plain", "hard": "damaged, valid tissue"}


def draw(results, folder):
    """results: a file of JSON lines; whatever can be drawn of them goes into the folder."""
    found = [json.loads(line) for line in results.read_text().splitlines()]
    folder.mkdir(parents=True, exist_ok=True)
    for topic, figure in (("compare", accuracy), ("curve", error_against_seconds), ("steps", error_against_steps)):
        chosen = [r for r in found if r["topic"] == topic and ("valid_mean" in r)]
        if chosen:
            path = folder / f"registration-{topic}.png"
            figure(chosen, path)
            print(path)


def accuracy(results, path):
    """A dot a seed, a line at the mean."""
    figure, panels = _panels(results)
    for panel, kind in panels:
        methods = list(dict.fromkeys(r["method"] for r in results if r["kind"] == kind))
        for row, method in enumerate(methods):
            means = [r["valid_mean"] for r in results if (r["kind"], r["method"]) == (kind, method)]
            colour = COLOURS.get(method, "grey")
            panel.plot(means, [row] * len(means), "o", color=colour, alpha=0.6)
            panel.plot([np.mean(means)] * 2, [row - 0.3, row + 0.3], color=colour, lw=3)
            panel.annotate(f"{np.mean(means):.0f}", (np.mean(means), row + 0.33), ha="center", color=colour)
        panel.set_yticks(range(len(methods)), methods)
        panel.set_ylim(-0.6, len(methods) - 0.2)
        panel.set_xlabel("mean error of landmarks, µm")
        _plain_log(panel, "x")
    _save(figure, path)


def error_against_seconds(results, path):
    figure, panels = _panels(results)
    for panel, kind in panels:
        for method in dict.fromkeys(r["method"] for r in results):
            line = sorted(
                (r["seconds"], r["valid_mean"]) for r in results if (r["kind"], r["method"]) == (kind, method)
            )
            if line:
                panel.plot(*zip(*line, strict=True), "o-", label=method, color=COLOURS.get(method, "grey"))
        _plain_log(panel, "x")
        _plain_log(panel, "y")
        panel.set_xlabel("seconds, one thread")
        panel.set_ylabel("mean error of landmarks, µm")
        panel.legend(frameon=False)
    _save(figure, path)


def error_against_steps(results, path):
    """Energies of different levels are not of the same voxels: each is shown less its lowest."""
    figure, panels = _panels(results)
    for panel, kind in panels:
        result = next(r for r in results if r["kind"] == kind)
        levels = np.array([step["level"] for step in result["history"]])
        energy = np.array([step["energy"] for step in result["history"]])
        panel.plot(result["followed"], color=COLOURS["cloudreg"])
        _plain_log(panel, "y")
        panel.set_xlabel("step")
        panel.set_ylabel("mean error of landmarks, µm", color=COLOURS["cloudreg"])
        beside = panel.twinx()
        for level in np.unique(levels):
            steps = np.flatnonzero(levels == level)
            above = energy[steps] - energy[steps].min()
            beside.plot(steps[above > 0], above[above > 0], color=COLOURS["greedy3"])
            panel.axvline(steps[0] - 0.5, color="grey", lw=0.5)
        beside.set_yscale("log")
        beside.set_ylabel("energy above the level's lowest", color=COLOURS["greedy3"])
    _save(figure, path)


def _panels(results):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    kinds = [kind for kind in KINDS if any(r["kind"] == kind for r in results)]
    figure, panels = pyplot.subplots(1, len(kinds), figsize=(5.5 * len(kinds), 4), squeeze=False)
    for panel, kind in zip(panels[0], kinds, strict=True):
        panel.set_title(KINDS[kind])
        panel.spines[["top", "right"]].set_visible(False)
    return figure, list(zip(panels[0], kinds, strict=True))


def _plain_log(panel, axis):
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    getattr(panel, f"set_{axis}scale")("log")
    of = getattr(panel, f"{axis}axis")
    of.set_major_locator(LogLocator(subs=(1, 2, 5)))
    of.set_major_formatter(ScalarFormatter())
    of.set_minor_formatter(NullFormatter())


def _save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=100)
