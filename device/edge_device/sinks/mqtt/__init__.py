"""Results, events and statistics to an MQTT broker, and their announcement to Home Assistant."""
