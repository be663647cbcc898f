"""What brings the system somewhere: zips of the functions, checks before, a local deployment."""
