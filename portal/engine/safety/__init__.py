"""What is proven about both ends before anything is deleted or overwritten."""
