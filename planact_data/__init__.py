"""Dataset builders: from benchmark tasks to the rows that planners and executors are trained on."""
