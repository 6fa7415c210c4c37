"""What people see in a terminal; the only place beside the command line that uses rich."""
