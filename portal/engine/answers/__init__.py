"""Short runs of rclone that answer a question: what a place holds, what a source is."""
