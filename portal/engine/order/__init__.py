"""What rclone is told: an order, its command line, its environment, and what it may reach."""
