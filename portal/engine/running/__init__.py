"""One rclone that transfers, from its start to its certain end, and how it has ended."""
