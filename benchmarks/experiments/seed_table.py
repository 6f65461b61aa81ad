"""How accurate is a recipe over several splits? Mean and standard deviation from the reports of exports.

    python benchmarks/experiments/seed_table.py RUN.report.json...

`edge-convert export` writes the reports; those of one dataset, network and recipe become a row. The photos are each
run's own test photos, which share no burst, copy or clip with those that it was trained on.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np


def spread(shares: list[float]) -> str:
    """Mean and standard deviation in percent."""
    deviation = f" ± {100 * np.std(shares, ddof=1):.1f}" if len(shares) > 1 else ""
    return f"{100 * np.mean(shares):.1f}{deviation} ({', '.join(f'{100 * share:.1f}' for share in shares)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", metavar="RUN.report.json", type=Path, nargs="+")
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for path in parser.parse_args().reports:
        report = json.loads(path.read_text("utf-8"))
        card = report["card"]
        rows[card["dataset"]["name"], card["backbone"]["name"], report["recipe"]].append(report)
    for (dataset, network, recipe), reports in rows.items():
        reports.sort(key=lambda report: report["card"]["dataset"]["split_seed"])
        seeds = ", ".join(str(report["card"]["dataset"]["split_seed"]) for report in reports)
        photos = ", ".join(str(report["comparison"]["photos"]) for report in reports)
        print(f"{dataset}, {network}, splits {seeds}, {photos} test photos, in %:")
        for title, name in (("full size", "full_size"), (recipe, "converted"), ("agreement", "agreement")):
            print(f"  {title}: {spread([report['comparison'][name]['value'] for report in reports])}")


if __name__ == "__main__":
    main()
