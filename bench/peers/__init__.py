"""The programs that do the same work side by side: each runs in a device's host of the lab and obeys JSON lines."""
