"""Are groups of people treated alike? Rates by protected attribute, their differences, and alarms when gaps grow."""
