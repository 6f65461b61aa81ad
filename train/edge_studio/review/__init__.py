"""What a run gets wrong, and whether it is the run or the label: mistakes, doubts, two runs beside each other."""
