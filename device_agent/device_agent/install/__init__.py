"""Brings a bundle onto the device: reading it, the profile, the slots, the trial and the way back."""
