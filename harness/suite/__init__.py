"""Suite files: YAML to tasks, rows and configs, with every mistake explained."""
