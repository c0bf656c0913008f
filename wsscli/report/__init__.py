"""Pictures and pages: arrays in, RGB arrays or HTML text out."""
