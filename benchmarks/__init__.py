"""What the performance table of docs/benchmarks.md is made by: ratios, each measured within one run on one machine."""
