"""What keeps a board from classifying, and the command that mends it.

The doctor is needed most where something cannot be imported, so nothing in this package imports more than the standard
library. What it examines is imported, opened and run in processes of their own (`probe`), which may die.
"""

from edge_device.doctor.examine import examine
from edge_device.doctor.findings import Finding, Level, Report

__all__ = ["Finding", "Level", "Report", "examine"]
