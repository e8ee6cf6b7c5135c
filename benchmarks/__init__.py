"""What pgqueue costs, measured beside the bare SQL of the same work."""
