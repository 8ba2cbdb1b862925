"""Client tracking: the server announces which generations changed."""
