"""Tables on the terminal."""

import numpy as np

COLUMNS = (
    ("valid mean/median/p95", lambda r: triple(r, "valid")),
    ("all", lambda r: triple(r, "all")),
    ("missing", lambda r: triple(r, "missing")),
    ("Dice big/weighted", lambda r: pair(r, "dice_big", "dice_weighted")),
    ("on valid", lambda r: pair(r, "dice_big_valid", "dice_weighted_valid")),
    ("s", lambda r: f"{r['seconds']:.0f}"),
    ("CPU s", lambda r: f"{r['cpu_seconds']:.0f}"),
    ("MB", lambda r: f"{r['peak_bytes'] / 1e6:.0f}"),
    ("folded", lambda r: f"{r['folded']:.0f}" if "folded" in r else "–"),
    ("return mean/max", lambda r: pair(r, "return_mean", "return_max", ".1f")),
    ("AUC", lambda r: f"{r['auc']:.2f}" if "auc" in r else "–"),
)


def triple(r, name):
    return (
        "/".join(f"{r[f'{name}_{key}']:.0f}" for key in ("mean", "median", "p95")) if f"{name}_mean" in r else "–"
    )


def pair(r, first, second, form=".3f"):
    return f"{r[first]:{form}}/{r[second]:{form}}" if first in r else "–"


def show(title, rows):
    """rows: (label, result of a run)."""
    print(f"\n{title}")
    lines = [["", *(name for name, _ in COLUMNS)]]
    for label, result in rows:
        if "seconds" in result:
            lines.append([label, *(cell(result) for _, cell in COLUMNS)])
        else:
            lines.append([label, "not installed" if "absent" in result else f"failed: {result['failed']}"])
    widths = [max(len(line[k]) for line in lines if len(line) == len(lines[0])) for k in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=False)).rstrip(), flush=True)


def average(results):
    """Mean over seeds of every number; folded voxels are summed."""
    good = [r for r in results if "seconds" in r]
    if len(good) < len(results) or not good:
        return results[0] if not good else {"failed": f"{len(results) - len(good)} of {len(results)} seeds"}
    keys = [k for k in good[0] if isinstance(good[0][k], (int, float))]
    mean = {k: float(np.nanmean([r[k] for r in good if k in r])) for k in keys}
    return mean | ({"folded": sum(r["folded"] for r in good)} if "folded" in mean else {})
