"""What the lessons of the Learn page compute: pure functions on the simulated subject, a file for each lesson."""
