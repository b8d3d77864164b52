"""Which side of a service is asked: as the settings say, until somebody switches at run time."""
