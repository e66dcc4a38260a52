"""Classic: the schedule and cost of the original CloudReg, for comparison."""
