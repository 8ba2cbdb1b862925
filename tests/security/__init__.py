"""What an attacker of the store gets."""
