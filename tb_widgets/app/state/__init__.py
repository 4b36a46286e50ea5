"""What the page shows, without a widget: the next run, its model, its data, the run in sight."""
