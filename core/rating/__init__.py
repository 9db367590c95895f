"""What it costs: pure arithmetic from contracts and counts to exact lines."""
