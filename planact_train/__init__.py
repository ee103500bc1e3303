"""Training with TRL: the tiny base model and the supervised fine-tuning of planners and executors."""
