"""The technician's work on a bin that stands still: firmware and calibration. The daemon never imports it."""
