"""Why a transfer failed, in words, and whether another try may help."""
