"""What runs inside the lab's hosts; each program prints one JSON object a line and ends with whoever started it."""
