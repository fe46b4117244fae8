"""What the README's performance table is made by: ratios, each measured within one run on one machine."""
