"""What rclone says, parsed: its log, its figures and its report."""
